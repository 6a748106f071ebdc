"""A shared API for tests that store nothing, the check of a problem response, and a client at socket level."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from rig.databases import database
from rig.system import System

JSON = {"Content-Type": "application/json"}
QUICK_S = 1.0  # limit of an error response: it takes milliseconds, the rest is for a busy machine
MAX_PROBLEM_BYTES = 8_192  # twenty named fields, and no text of the input


@pytest.fixture(scope="session")
def shared_system(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API on its own database for the whole session."""
    number = 33 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("shared"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.api()
        finally:
            system.close()


@pytest.fixture
def read_only_system(shared_system: System, request: pytest.FixtureRequest) -> Iterator[System]:
    """Return the shared API; check afterwards that the test has stored no job and caused no error in the log."""
    log_before = len(shared_system.log("api"))
    before = shared_system.database.value("SELECT count(*) FROM jobs")
    yield shared_system
    log = shared_system.log("api")[log_before:]
    if getattr(request.node, "failed", False):
        print(f"--- api\n{log[-5_000:]}")
    assert shared_system.processes["api"].poll() is None
    assert shared_system.database.value("SELECT count(*) FROM jobs") == before
    assert '"level": "error"' not in log
    assert "Traceback" not in log


@pytest.fixture
def peak(read_only_system: System) -> Callable[[], int]:
    """Return a function that returns the peak growth of the API's memory since the start of the test, in bytes."""
    process = Path(f"/proc/{read_only_system.processes['api'].pid}")

    def highest() -> int:
        return 1024 * int(
            next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")).split()[1]
        )

    (process / "clear_refs").write_text("5")  # resets the peak
    before = highest()
    return lambda: highest() - before


@pytest.fixture
def assert_problem() -> Callable[..., dict[str, Any]]:
    """Return a function that checks that a response is a problem of a status and kind, and returns its body."""

    def check(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
        assert response.status_code == status, response.text[:1_000]
        assert response.headers["content-type"] == "application/problem+json"
        assert len(response.content) < MAX_PROBLEM_BYTES
        body: dict[str, Any] = response.json()
        assert {"type", "title", "status", "detail"} <= set(body)
        assert body["type"] == f"urn:jobproc:problem:{kind}"
        assert body["status"] == status
        assert body["title"] and body["detail"]
        assert all(set(error) == {"field", "reason"} for error in body.get("errors") or [])
        assert ("retry-after" in response.headers) == (status in {429, 503})
        assert response.elapsed.total_seconds() < QUICK_S or status in (408, 503)
        return body

    return check


@pytest.fixture
def post() -> Callable[..., httpx.Response]:
    """Return a function that posts raw bytes as JSON."""

    def send(system: System, raw: bytes, path: str = "/jobs/") -> httpx.Response:
        return system.client.post(path, content=raw, headers=JSON)

    return send


class Wire:
    """A TCP connection that sends raw bytes and reads one HTTP response."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)

    def send(self, data: bytes) -> "Wire":
        self.socket.sendall(data)
        return self

    def head(self, *lines: str, path: str = "/jobs/", method: str = "POST") -> "Wire":
        """Send the header of a request with JSON."""
        return self.send(
            "\r\n".join(
                [f"{method} {path} HTTP/1.1", "Host: api", "Content-Type: application/json", *lines, "", ""]
            ).encode()
        )

    def chunk(self, data: bytes) -> "Wire":
        return self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def read_response(self) -> httpx.Response:
        """Read a response."""
        began = time.monotonic()
        with http.client.HTTPResponse(self.socket) as raw:
            raw.begin()
            response = httpx.Response(raw.status, headers=raw.getheaders(), content=raw.read())
        response.elapsed = timedelta(seconds=time.monotonic() - began)
        return response

    def ended(self, limit_s: float = 5) -> bool:
        """Return True if the API closes the connection in time."""
        self.socket.settimeout(limit_s)
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self, *, reset: bool = False) -> None:
        """Close the connection; `reset`: with a TCP reset, like a client that crashes."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()


@pytest.fixture
def wire() -> Iterator[Callable[[System], Wire]]:
    """Return a function that connects to a system's API. Connections are closed after the test."""
    wires: list[Wire] = []

    def connect(system: System) -> Wire:
        wires.append(Wire(system.port))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.close()
