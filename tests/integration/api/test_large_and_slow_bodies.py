"""Bodies over the byte limit, bodies that never arrive, and the cost of the worst bodies."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rig.process_usage import cpu_s
from rig.system import System, until

LIMIT = 1_048_576  # the default of JOBPROC_MAX_BODY_BYTES
MAX_GROWTH = 64 * LIMIT  # Python values take up to 25 times the bytes of a body; the rest is for the allocator
ENDLESS = 64 * LIMIT  # more than socket buffers hold
PATHS = ["/jobs/", "/jobs/batch"]
GOOD = b'{"data":[1,2,3],"operation":"square_sum"}'


@pytest.mark.parametrize("path", PATHS)
def test_a_body_of_the_limit_is_parsed_and_a_body_one_byte_longer_is_refused(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], path: str
) -> None:
    assert_problem(post(read_only_system, b"{}".ljust(LIMIT), path), 422, "invalid-body")
    assert_problem(post(read_only_system, b"{}".ljust(LIMIT + 1), path), 413, "body-too-large")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("length", [LIMIT + 1, 10**12])
def test_a_declared_body_over_the_limit_is_refused_before_its_first_byte_is_sent(
    read_only_system: System, wire: Callable[..., Any], assert_problem: Callable[..., Any], path: str, length: int
) -> None:
    assert_problem(
        wire(read_only_system).head(f"Content-Length: {length}", path=path).read_response(), 413, "body-too-large"
    )


def test_a_client_that_expects_100_continue_is_refused_before_it_sends_the_body(
    read_only_system: System, wire: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    assert_problem(
        wire(read_only_system).head(f"Content-Length: {LIMIT + 1}", "Expect: 100-continue").read_response(),
        413,
        "body-too-large",
    )


@pytest.mark.parametrize("path", PATHS)
def test_a_chunked_body_over_the_limit_is_refused_before_its_end(
    read_only_system: System, wire: Callable[..., Any], assert_problem: Callable[..., Any], path: str
) -> None:
    connection = wire(read_only_system).head("Transfer-Encoding: chunked", path=path)
    for _ in range(16):
        connection.chunk(b" " * (LIMIT // 16))
    assert_problem(connection.chunk(b" ").read_response(), 413, "body-too-large")


@pytest.mark.parametrize("head", [f"Content-Length: {ENDLESS}", "Transfer-Encoding: chunked"])
def test_a_body_over_the_limit_is_not_read_to_its_end(
    read_only_system: System, wire: Callable[..., Any], head: str
) -> None:
    """The API closes the connection after the response; otherwise a client could keep it reading without end."""
    connection = wire(read_only_system).head(head)
    block = b" " * LIMIT if head.startswith("Content") else b"%x\r\n%b\r\n" % (LIMIT, b" " * LIMIT)
    with pytest.raises(ConnectionError):
        connection.send(block * (ENDLESS // LIMIT))


def test_the_limit_is_a_setting(system: System, post: Callable[..., Any], assert_problem: Callable[..., Any]) -> None:
    system.api(JOBPROC_MAX_BODY_BYTES="100", JOBPROC_MAX_NUMBERS="5")
    assert post(system, b'{"data":[1,2,3,4,5],"operation":"square_sum"}').status_code == 202
    assert_problem(post(system, b'{"data":[1,2,3,4,5,6],"operation":"square_sum"}'), 422, "invalid-body")
    assert_problem(post(system, GOOD.ljust(101)), 413, "body-too-large")
    assert system.database.value("SELECT count(*) FROM jobs") == 1


def test_a_body_that_never_arrives_gets_408_in_time(
    system: System, wire: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    """Bodies sent not at all or byte by byte, declared or chunked. Other clients are served; the connections end."""
    system.api(JOBPROC_BODY_TIMEOUT_SECONDS="0.6")
    began = time.monotonic()
    late = wire(system).head("Content-Length: 1000000")
    slow = [
        wire(system).head("Content-Length: 100"),
        wire(system).head("Content-Length: 100").send(b"{"),
        wire(system).head("Transfer-Encoding: chunked"),
    ]
    dripping = wire(system).head("Content-Length: 100", path="/jobs/batch")
    while time.monotonic() < began + 0.5:
        dripping.send(b" ")
        assert system.client.get("/livez").status_code == 200
        time.sleep(0.05)  # the pace of a slow client
    for connection in [*slow, dripping]:
        assert_problem(connection.read_response(), 408, "body-timeout")
    assert_problem(late.send(b" " * 999_999).read_response(), 408, "body-timeout")  # it sends on after the answer
    assert 0.5 < time.monotonic() - began < 3
    assert all(connection.ended() for connection in [*slow, dripping, late])
    assert system.database.value("SELECT count(*) FROM jobs") == 0


def test_a_client_that_disconnects_before_the_end_of_its_body_stores_nothing(
    read_only_system: System, wire: Callable[..., Any]
) -> None:
    """Closed or reset, with the whole JSON or half of it sent: a body without its declared end is not stored."""
    read_only_system.client.get("/readyz")  # opens the client's connection and one to the database
    connections_before = _connections(read_only_system)
    for reset in (False, True):
        for head, sent in (
            ("Content-Length: 100", GOOD),
            ("Content-Length: 100", GOOD[:20]),
            ("Transfer-Encoding: chunked", b"29\r\n" + GOOD + b"\r\n"),
        ):
            wire(read_only_system).head(head).send(sent).close(reset=reset)
            assert read_only_system.client.get("/livez").status_code == 200
    # Six clients have disconnected; the pool may have opened a connection.
    until("the API has closed the connections", lambda: _connections(read_only_system) <= connections_before + 1)


def _connections(system: System) -> int:
    return sum(
        path.readlink().name.startswith("socket:")
        for path in Path(f"/proc/{system.processes['api'].pid}/fd").iterdir()
        if path.is_symlink()
    )


def fill(unit: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    """Return a body of the byte limit that repeats a unit."""
    return before + unit * ((LIMIT - len(before) - len(after)) // len(unit)) + after


WORST = {
    "a million numbers": fill(b"1,", b'{"data":[', b'1],"operation":"square_sum"}'),
    "long fractions": fill(b"0.12345678901234567,", b'{"data":[', b'1],"operation":"square_sum"}'),
    "empty objects": fill(b"{},", b'{"data":[', b'1],"operation":"square_sum"}'),
    "empty objects at the top": fill(b"{},", b"[", b"1]"),
    "nested pairs": fill(b"[[]],", b'{"data":[', b'1],"operation":"square_sum"}'),
    "wrong numbers, as many as are validated": b'{"data":[' + b"null," * 9_999 + b'null],"operation":"square_sum"}',
    "unknown fields": b'{"data":[1],"operation":"square_sum",'
    + b",".join(b'"%x":0' % n for n in range(100_000))
    + b"}",
    "a single long integer": fill(b"9", b'{"data":[', b'],"operation":"square_sum"}'),
    "integers of the longest accepted length": fill(b"9" * 4_299 + b",", b'{"data":[', b'1],"operation":"square_sum"}'),
    "a number with a long exponent": fill(b"0", b'{"data":[1e1', b'],"operation":"square_sum"}'),
    "a long fraction": fill(b"3", b'{"data":[1e999', b'],"operation":"square_sum"}'),
    "open lists": fill(b"["),
    "arrays as the input": fill(b"[],", b'{"operation":"square_sum","input":[', b"[]]}"),
    "arrays as the numbers of the input": fill(b"[],", b'{"operation":"square_sum","input":{"data":[', b"[]]}}"),
    "nested arrays as the input": fill(b"[" * 100 + b"]" * 100 + b",", b'{"operation":"square_sum","input":[', b"[]]}"),
    "as many arrays as are accepted": b'{"operation":"square_sum","input":{"more":[' + b"[]," * 99_000 + b"[]]}}",
    "wrong items, as many as are accepted": fill(
        b'{"a":"xy"},', b'{"operation":"square_sum","input":{"data":[', b"1]}}"
    ),
    "unknown fields of the input": b'{"operation":"square_sum","input":{'
    + b",".join(b'"%x":0' % n for n in range(45_000))
    + b"}}",
    "unknown fields of an option": b'{"operation":"square_sum","data":[1],"backoff":{'
    + b",".join(b'"%x":0' % n for n in range(45_000))
    + b"}}",
    "brackets and quotes": fill(b'[""', b'{"data":['),
    "a long text": fill(b"x", b'{"data":[1],"operation":"', b'"}'),
    "escapes": fill(b"\\u00e9", b'{"data":[1],"operation":"', b'"}'),
}


@pytest.mark.parametrize("raw", WORST.values(), ids=WORST.keys())
def test_the_worst_body_costs_little_time_and_memory(
    read_only_system: System,
    post: Callable[..., Any],
    peak: Callable[[], int],
    assert_problem: Callable[..., Any],
    raw: bytes,
) -> None:
    assert len(raw) <= LIMIT
    cpu_before_s = cpu_s(read_only_system.processes["api"].pid)
    response = post(read_only_system, raw)
    assert response.status_code in (400, 422)
    assert_problem(response, response.status_code, "malformed-json" if response.status_code == 400 else "invalid-body")
    assert peak() < MAX_GROWTH
    assert cpu_s(read_only_system.processes["api"].pid) - cpu_before_s < 0.5, (
        "the event loop serves nothing else during this time"
    )


def test_concurrent_worst_bodies_cost_little_memory_and_are_all_answered(
    read_only_system: System, post: Callable[..., Any], peak: Callable[[], int]
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    raw = WORST["empty objects"]
    with ThreadPoolExecutor(8) as clients:
        responses = list(clients.map(lambda _: post(read_only_system, raw), range(16)))
    assert [response.status_code for response in responses] == [422] * 16
    assert peak() < 2 * MAX_GROWTH
