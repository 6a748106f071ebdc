"""Sends bytes to the API and reads the answers, however many there are."""

import gzip
import io
import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import Any

from api.web.problem_kinds import PREFIX
from hostile.callers import Caller
from hostile.requests import Request

ANSWER_LIMIT_S = 20.0  # longer than any limit of the API for a request
QUIET_S = 0.1  # for an answer to broken bytes, which may rightly be awaiting more of them


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the API."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> bytes:
        """The body, decompressed."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @property
    def problem(self) -> str:
        """The name of the problem that it is; empty: none, or without a body."""
        content = self.json() if self.status >= 400 else None
        return str(content.get("type", "")).removeprefix(PREFIX) if isinstance(content, dict) else ""

    def json(self) -> Any:
        """Return the body as JSON, None if it is none."""
        try:
            return json.loads(self.text)
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
    caller: Caller = field(default_factory=lambda: Caller("none"))


def exchange(
    port: int, segments: Sequence[bytes], request: Request | None = None, caller: Caller | None = None
) -> Exchange:
    """Send bytes over a new connection. A whole request has an answer; broken bytes may have any number.

    `caller`: of broken bytes.
    """
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
    caller = request.caller if request else caller or Caller("none")
    return Exchange(sent, answers(bytes(received), is_head), ended_s - began_s, is_closed, request, caller)


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
