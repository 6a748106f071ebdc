"""Slow-loris guard: connections of clients that do not send a request or read a response end after their timeout."""

import time
from collections.abc import Callable
from typing import Any

from rig.system import System, until

LIMITS = {"JOBPROC_REQUEST_HEADER_TIMEOUT_SECONDS": "1", "JOBPROC_RESPONSE_WRITE_TIMEOUT_SECONDS": "1"}
LARGE = 1_000_000  # exceeds the buffers of a connection
MAX_S = 5.0


def test_an_incomplete_request_header_ends_its_connection(system: System, wire: Callable[..., Any]) -> None:
    """No header, half a header, half a second header: these end. An idle keep-alive connection stays open."""
    system.api(**LIMITS)
    began = time.monotonic()
    idle, second = wire(system), wire(system)
    for connection in (idle, second):
        connection.send(b"GET /livez HTTP/1.1\r\nHost: api\r\n\r\n")
        assert connection.read_response().status_code == 200
    waiting = [
        wire(system),
        wire(system).send(b"POST /jobs/ HTTP/1.1\r\nHost: a"),
        second.send(b"GET /livez HTTP/1.1\r\n"),
    ]
    assert all(connection.ended(MAX_S) for connection in waiting)
    assert 1 < time.monotonic() - began < MAX_S
    idle.send(b"GET /livez HTTP/1.1\r\nHost: api\r\n\r\n")
    assert idle.read_response().status_code == 200


def test_a_response_that_is_not_read_ends_its_connection(system: System, wire: Callable[..., Any]) -> None:
    """The API does not keep large responses in memory for slow readers."""
    system.all(**LIMITS)
    job_id = system.submit("big_result", LARGE)
    system.wait(job_id)
    reader = wire(system)
    reader.send((f"GET /jobs/{job_id}/result HTTP/1.1\r\nHost: api\r\n\r\n" * 8).encode())
    until("the API has closed the connection", lambda: _cannot_send(reader), MAX_S)
    assert system.client.get(f"/jobs/{job_id}/result").json()["status"] == "SUCCESS"


def _cannot_send(reader: Any) -> bool:
    try:
        reader.send(b" ")
    except OSError:
        return True
    return False
