"""Sends bytes to the API and reads the answers, however many there are."""

import io
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any

from hostile.requests import Request

ANSWER_LIMIT_S = 20.0  # longer than any limit of the API for a request
QUIET_S = 0.1  # for an answer to broken bytes, which may rightly be awaiting more of them


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Bytes that were sent, and the answers to them."""

    sent: bytes
    answers: list[Answer]
    seconds: float  #: until the last answer
    is_closed: bool  #: by the API
    request: Request | None = None  #: None: broken bytes


def exchange(port: int, segments: Sequence[bytes], request: Request | None = None) -> Exchange:
    """Send bytes over a new connection. A whole request has an answer; broken bytes may have any number."""
    began_s = ended_s = time.monotonic()
    received, is_closed, sent = bytearray(), False, b"".join(segments)
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_LIMIT_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for segment in segments:
                connection.sendall(segment)
            connection.settimeout(ANSWER_LIMIT_S if request else QUIET_S)
            is_head = request is not None and request.method == "HEAD"
            while not (request and answers(bytes(received), is_head)):
                part = connection.recv(1 << 16)
                ended_s = time.monotonic()
                if not part:
                    is_closed = True
                    break
                received += part
        except TimeoutError:
            ended_s = time.monotonic() if request else ended_s
        except (ConnectionResetError, BrokenPipeError):
            is_closed = True
    is_head = sent.startswith(b"HEAD ")
    return Exchange(sent, answers(bytes(received), is_head), ended_s - began_s, is_closed, request)


def answers(received: bytes, is_head: bool = False) -> list[Answer]:
    """Return the complete answers at the start of what was received, without informational ones.

    `is_head`: the request was a HEAD, so its answer has no body.
    """
    stream, found = _Stream(received), []
    while stream.tell() < len(received):
        response = HTTPResponse(stream, method="HEAD" if is_head else None)  # type: ignore[arg-type]  # of a socket, it calls makefile alone
        try:
            response.begin()
            body = response.read()
        except (HTTPException, ValueError, OSError):
            break
        found.append(Answer(response.status, body, {name.lower(): value for name, value in response.getheaders()}))
    return found


class _Stream(io.BytesIO):
    """Stands for a socket that has received everything. Responses share it and must not close it."""

    def makefile(self, *_: object) -> "_Stream":
        return self

    def close(self) -> None:
        """Stay open for the next response."""
