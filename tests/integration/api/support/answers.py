"""Every answer on one connection, for tests that send what no HTTP client would."""

import socket
from dataclasses import dataclass

LIMIT_S = 10.0


@dataclass(frozen=True)
class Answer:
    """An answer: its status, its header fields in lower case, its body."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def request_id(self) -> str:
        """The X-Request-ID: that of the request which the API answers."""
        return self.fields.get("x-request-id", "")


class Connection:
    """A TCP connection that sends raw bytes and reads the answers one by one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> "Connection":
        self.socket.sendall(data)
        return self

    def answer(self) -> Answer | None:
        """Read an answer that has a Content-Length. None: the API has closed the connection in order."""
        status_line = self._file.readline()
        if not status_line:
            return None
        fields: dict[str, str] = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            fields[name.lower()] = value.strip()
        return Answer(int(status_line.split()[1]), fields, self._file.read(int(fields["content-length"])))

    def answers(self) -> list[Answer]:
        """Read answers until the API closes the connection in order."""
        read = []
        while (answer := self.answer()) is not None:
            read.append(answer)
        return read

    def close(self) -> None:
        self._file.close()
        self.socket.close()
