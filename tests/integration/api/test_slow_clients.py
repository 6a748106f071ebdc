"""Clients that leave a connection between two states: each is borne for as long as its setting says, and no other one is."""

import time
from collections.abc import Callable
from typing import Any

from rig.system import System, until

LIMITS = {"JOBPROC_HEAD_TIMEOUT_SECONDS": "1", "JOBPROC_ANSWER_TIMEOUT_SECONDS": "1"}
BIG = 1_000_000  # more than the buffers of a connection hold
MOST_S = 5.0


def test_a_head_that_does_not_come_ends_its_connection(system: System, wire: Callable[..., Any]) -> None:
    """Nothing sent, half a head sent, half of a second one: all end. A kept connection between two requests does not."""
    system.api(**LIMITS)
    began = time.monotonic()
    kept, second = wire(system), wire(system)
    for one in (kept, second):
        one.send(b"GET /livez HTTP/1.1\r\nHost: api\r\n\r\n")
        assert one.answer().status_code == 200
    waiting = [wire(system), wire(system).send(b"POST /jobs/ HTTP/1.1\r\nHost: a"), second.send(b"GET /livez HTTP/1.1\r\n")]
    assert all(one.ended(MOST_S) for one in waiting)
    assert 1 < time.monotonic() - began < MOST_S
    kept.send(b"GET /livez HTTP/1.1\r\nHost: api\r\n\r\n")
    assert kept.answer().status_code == 200


def test_an_answer_that_nobody_takes_ends_its_connection(system: System, wire: Callable[..., Any]) -> None:
    """The bytes that are on their way are the client's; the server holds no more for it."""
    system.all(**LIMITS)
    job_id = system.submit("big_result", BIG)
    system.wait(job_id)
    reader = wire(system)
    reader.send((f"GET /jobs/{job_id}/result HTTP/1.1\r\nHost: api\r\n\r\n" * 8).encode())
    until("the server has broken it off", lambda: _cannot_send(reader), MOST_S)
    assert system.client.get(f"/jobs/{job_id}/result").json()["status"] == "SUCCESS"


def _cannot_send(reader: Any) -> bool:
    try:
        reader.send(b" ")
    except OSError:
        return True
    return False
