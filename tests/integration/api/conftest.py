"""One API for all tests that only look or are refused; what every refusal looks like; a client below HTTP libraries."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from rig.databases import database
from rig.system import System

JSON = {"Content-Type": "application/json"}
QUICK_S = 1.0  # a refusal takes milliseconds; a second leaves room for a busy machine
MOST_BYTES = 8_192  # of a problem: twenty named fields and nothing of the input


@pytest.fixture(scope="session")
def shared_system(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """An API on a database of its own, for the whole session."""
    number = 33 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("shared"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.api()
        finally:
            system.close()


@pytest.fixture
def served(shared_system: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """The shared API. A test with it leaves the table of jobs as it was and no error in the log."""
    log_before = len(shared_system.log("api"))
    before = shared_system.database.one("SELECT count(*) FROM jobs")
    yield shared_system
    log = shared_system.log("api")[log_before:]
    if getattr(request.node, "failed", False):
        print(f"--- api\n{log[-5_000:]}")
    assert shared_system.processes["api"].poll() is None
    assert shared_system.database.one("SELECT count(*) FROM jobs") == before
    assert '"level": "error"' not in log
    assert "Traceback" not in log


@pytest.fixture
def refused() -> Callable[..., dict[str, Any]]:
    """Check that an answer is a problem of a status and a kind, as all problems are; returns its body."""

    def check(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
        assert answer.status_code == status, answer.text[:1_000]
        assert answer.headers["content-type"] == "application/problem+json"
        assert len(answer.content) < MOST_BYTES
        body: dict[str, Any] = answer.json()
        assert {"type", "title", "status", "detail"} <= set(body)
        assert body["type"] == f"urn:jobproc:problem:{kind}"
        assert body["status"] == status
        assert body["title"] and body["detail"]
        assert all(set(one) == {"field", "reason"} for one in body.get("errors") or [])
        assert ("retry-after" in answer.headers) == (status == 503)
        assert answer.elapsed.total_seconds() < QUICK_S or status in (408, 503)
        return body

    return check


@pytest.fixture
def post() -> Callable[..., httpx.Response]:
    """Post raw bytes as JSON."""

    def send(system: System, raw: bytes, path: str = "/jobs/") -> httpx.Response:
        return system.client.post(path, content=raw, headers=JSON)

    return send


class Wire:
    """A connection that sends what it is told and reads one answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def head(self, *lines: str, path: str = "/jobs/") -> "Wire":
        """Send the head of a POST of JSON."""
        return self.send("\r\n".join([f"POST {path} HTTP/1.1", "Host: api", "Content-Type: application/json", *lines, "", ""]).encode())

    def chunk(self, data: bytes) -> "Wire":
        return self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> httpx.Response:
        """Read the answer."""
        began = time.monotonic()
        with http.client.HTTPResponse(self.socket) as read:
            read.begin()
            found = httpx.Response(read.status, headers=read.getheaders(), content=read.read())
        found.elapsed = timedelta(seconds=time.monotonic() - began)
        return found

    def ended(self, limit_s: float = 5) -> bool:
        """Return whether the other side ends the connection in time."""
        self.socket.settimeout(limit_s)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self, *, reset: bool = False) -> None:
        """Close; `reset`: as a client that crashes."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()


@pytest.fixture
def wire() -> Iterator[Callable[[System], Wire]]:
    """Make connections to a system's API; they are closed at the end."""
    made: list[Wire] = []

    def connect(system: System) -> Wire:
        made.append(Wire(system.port))
        return made[-1]

    yield connect
    for one in made:
        one.close()
