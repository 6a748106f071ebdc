"""Bodies past the byte limit, bodies that never come, and what the worst bodies cost."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig.system import System, until

LIMIT = 1_048_576  # the default of JOBPROC_MAX_BODY_BYTES
SPIKE = 64 * LIMIT  # a body as Python values is up to 25 times its bytes; with room for the allocator
ENDLESS = 64 * LIMIT  # more than socket buffers hold
PATHS = ["/jobs/", "/jobs/batch"]
GOOD = b'{"data":[1,2,3],"operation":"square_sum"}'


@pytest.mark.parametrize("path", PATHS)
def test_a_body_of_the_limit_is_read_and_one_byte_more_is_not(served: System, post: Callable[..., Any], refused: Callable[..., Any], path: str) -> None:
    refused(post(served, b"{}".ljust(LIMIT), path), 422, "invalid-body")
    refused(post(served, b"{}".ljust(LIMIT + 1), path), 413, "body-too-large")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("length", [LIMIT + 1, 10**12])
def test_a_declared_body_past_the_limit_is_refused_before_a_byte_of_it_is_sent(
    served: System, wire: Callable[..., Any], refused: Callable[..., Any], path: str, length: int
) -> None:
    refused(wire(served).head(f"Content-Length: {length}", path=path).answer(), 413, "body-too-large")


def test_a_client_that_asks_before_sending_is_refused_without_sending(served: System, wire: Callable[..., Any], refused: Callable[..., Any]) -> None:
    refused(wire(served).head(f"Content-Length: {LIMIT + 1}", "Expect: 100-continue").answer(), 413, "body-too-large")


@pytest.mark.parametrize("path", PATHS)
def test_a_chunked_body_past_the_limit_is_refused_before_its_end(served: System, wire: Callable[..., Any], refused: Callable[..., Any], path: str) -> None:
    connection = wire(served).head("Transfer-Encoding: chunked", path=path)
    for _ in range(16):
        connection.chunk(b" " * (LIMIT // 16))
    refused(connection.chunk(b" ").answer(), 413, "body-too-large")


@pytest.mark.parametrize("head", [f"Content-Length: {ENDLESS}", "Transfer-Encoding: chunked"])
def test_a_body_past_the_limit_is_not_read_to_its_end(served: System, wire: Callable[..., Any], head: str) -> None:
    """The connection ends with the answer; else a client could keep the server reading for as long as it likes."""
    connection = wire(served).head(head)
    piece = b" " * LIMIT if head.startswith("Content") else b"%x\r\n%b\r\n" % (LIMIT, b" " * LIMIT)
    with pytest.raises(ConnectionError):
        connection.send(piece * (ENDLESS // LIMIT))


def test_the_limit_is_a_setting(system: System, post: Callable[..., Any], refused: Callable[..., Any]) -> None:
    system.api(JOBPROC_MAX_BODY_BYTES="100", JOBPROC_MAX_NUMBERS="5")
    assert post(system, b'{"data":[1,2,3,4,5],"operation":"square_sum"}').status_code == 202
    refused(post(system, b'{"data":[1,2,3,4,5,6],"operation":"square_sum"}'), 422, "invalid-body")
    refused(post(system, GOOD.ljust(101)), 413, "body-too-large")
    assert system.database.one("SELECT count(*) FROM jobs") == 1


def test_a_body_that_never_arrives_is_given_up_in_time(system: System, wire: Callable[..., Any], refused: Callable[..., Any]) -> None:
    """Sent not at all or drop by drop, declared or chunked; others are served meanwhile and the connections end."""
    system.api(JOBPROC_BODY_TIMEOUT_SECONDS="0.6")
    began = time.monotonic()
    slow = [wire(system).head("Content-Length: 100"), wire(system).head("Content-Length: 100").send(b"{"), wire(system).head("Transfer-Encoding: chunked")]
    drops = wire(system).head("Content-Length: 100", path="/jobs/batch")
    while time.monotonic() < began + 0.5:
        drops.send(b" ")
        assert system.client.get("/livez").status_code == 200
        time.sleep(0.05)  # the pace of a slow client
    for connection in [*slow, drops]:
        refused(connection.answer(), 408, "body-timeout")
    assert 0.5 < time.monotonic() - began < 3
    assert all(connection.ended() for connection in [*slow, drops])
    assert system.database.one("SELECT count(*) FROM jobs") == 0


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(served: System, wire: Callable[..., Any]) -> None:
    """Closed and reset, whole JSON sent or half of it: what was not sent to its declared end is not stored."""
    served.client.get("/readyz")  # so that the client's own connection and the database's are there
    before = _connections(served)
    for reset in (False, True):
        for head, sent in (("Content-Length: 100", GOOD), ("Content-Length: 100", GOOD[:20]), ("Transfer-Encoding: chunked", b"29\r\n" + GOOD + b"\r\n")):
            wire(served).head(head).send(sent).close(reset=reset)
            assert served.client.get("/livez").status_code == 200
    until("the API has closed what its clients closed", lambda: _connections(served) <= before + 1)  # six were; the pool may open one meanwhile


def _connections(system: System) -> int:
    return sum(path.readlink().name.startswith("socket:") for path in Path(f"/proc/{system.processes['api'].pid}/fd").iterdir() if path.is_symlink())


@pytest.fixture
def peak(served: System) -> Callable[[], int]:
    """By how many bytes the API has grown since the test began, at its highest."""
    process = Path(f"/proc/{served.processes['api'].pid}")

    def highest() -> int:
        return 1024 * int(next(line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])

    (process / "clear_refs").write_text("5")  # the peak begins anew
    before = highest()
    return lambda: highest() - before


def fill(unit: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a body of the byte limit: a unit over and over."""
    return before + unit * ((LIMIT - len(before) - len(after)) // len(unit)) + after


WORST = {
    "a million numbers": fill(b"1,", b'{"data":[', b'1],"operation":"square_sum"}'),
    "long fractions": fill(b"0.12345678901234567,", b'{"data":[', b'1],"operation":"square_sum"}'),
    "empty objects": fill(b"{},", b'{"data":[', b'1],"operation":"square_sum"}'),
    "empty objects at the top": fill(b"{},", b"[", b"1]"),
    "nested pairs": fill(b"[[]],", b'{"data":[', b'1],"operation":"square_sum"}'),
    "wrong numbers, as many as are looked at": b'{"data":[' + b"null," * 9_999 + b'null],"operation":"square_sum"}',
    "unknown fields": b'{"data":[1],"operation":"square_sum",' + b",".join(b'"%x":0' % n for n in range(100_000)) + b"}",
    "one digit after the other": fill(b"9", b'{"data":[', b'],"operation":"square_sum"}'),
    "integers as long as are read": fill(b"9" * 4_299 + b",", b'{"data":[', b'1],"operation":"square_sum"}'),
    "a number with a long exponent": fill(b"0", b'{"data":[1e1', b'],"operation":"square_sum"}'),
    "a long fraction": fill(b"3", b'{"data":[1e999', b'],"operation":"square_sum"}'),
    "open lists": fill(b"["),
    "one text": fill(b"x", b'{"data":[1],"operation":"', b'"}'),
    "escapes": fill(b"\\u00e9", b'{"data":[1],"operation":"', b'"}'),
}


@pytest.mark.parametrize("raw", WORST.values(), ids=WORST.keys())
def test_the_worst_body_costs_little_time_and_memory(
    served: System, post: Callable[..., Any], peak: Callable[[], int], refused: Callable[..., Any], raw: bytes
) -> None:
    assert len(raw) <= LIMIT
    before = _cpu_s(served)
    answer = post(served, raw)
    assert answer.status_code in (400, 422)
    refused(answer, answer.status_code, "malformed-json" if answer.status_code == 400 else "invalid-body")
    assert peak() < SPIKE
    assert _cpu_s(served) - before < 0.5, "nothing else is served meanwhile"


def _cpu_s(system: System) -> float:
    """Return the CPU time that the API has taken: other than a clock it does not count what else the machine does."""
    fields = Path(f"/proc/{system.processes['api'].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_the_worst_bodies_at_once_cost_little_memory_and_hold_nobody_up(served: System, post: Callable[..., Any], peak: Callable[[], int]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    raw = WORST["empty objects"]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: post(served, raw), range(16)))
    assert [answer.status_code for answer in answers] == [422] * 16
    assert peak() < 2 * SPIKE
