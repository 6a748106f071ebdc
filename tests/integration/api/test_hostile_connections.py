"""Clients that send without end, or before they read: the API's memory stays flat, and the answer arrives."""

import contextlib
import http.client
from collections.abc import Callable, Iterator

import pytest
from integration.api.support.answers import Connection
from rig.system import System, until

MIB = 1_048_576
BLOCK = 256 * 1_024  # as much as the API reads at once
BODY = b" " * (12 * MIB)  # far more than the buffers of a connection, and less than the API discards
START = b"GET /livez HTTP/1.1\r\nHost: api\r\n"
POST = b"POST /jobs/ HTTP/1.1\r\nHost: api\r\nContent-Length: %d\r\n" % len(BODY)
JSON = b"Content-Type: application/json\r\n"
CHUNKED = b"POST /jobs/ HTTP/1.1\r\nHost: api\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def connect(read_only_system: System) -> Iterator[Callable[[], Connection]]:
    """Return a function that connects to the shared API. Connections are closed after the test."""
    connections: list[Connection] = []

    def connected() -> Connection:
        connections.append(Connection(read_only_system.port))
        return connections[-1]

    yield connected
    for connection in connections:
        connection.close()


@pytest.mark.parametrize(
    ("start", "endless"),
    [
        (START, b"X: y\r\n" * (BLOCK // 6)),
        (START + b"X: ", b"y" * BLOCK),
        (START + b"X", b"y" * BLOCK),
        (b"GET /", b"y" * BLOCK),
        (CHUNKED + b"0\r\n", b"X: y\r\n" * (BLOCK // 6)),
        (CHUNKED + b"0\r\nX: ", b"y" * BLOCK),
        (CHUNKED + b"1;", b"y" * BLOCK),
    ],
    ids=["fields", "a value", "a name", "a target", "trailers", "a trailer", "a chunk extension"],
)
def test_an_endless_head_or_trailer_takes_no_memory(
    read_only_system: System, connect: Callable[[], Connection], peak: Callable[[], int], start: bytes, endless: bytes
) -> None:
    """60 MB of fields took 1.1 GiB, and 100 MB of one value kept every other client waiting for 10 s."""
    connection = connect().send(start)
    with contextlib.suppress(ConnectionError):  # the API discards 32 MiB, then it resets the connection
        for _ in range(48 * MIB // BLOCK):
            connection.send(endless)
    assert read_only_system.client.get("/livez").status_code == 200
    assert peak() < 12 * MIB


def test_pipelined_requests_without_end_take_little_memory(
    connect: Callable[[], Connection], peak: Callable[[], int]
) -> None:
    """A read of 256 KiB has thousands of requests, which were all taken at once."""
    connections = [connect() for _ in range(20)]
    request = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
    for connection in connections:
        connection.send(request * (BLOCK // len(request)))
    for connection in connections:
        answer = connection.answer()
        assert answer is not None and answer.status == 200
    assert peak() < 32 * MIB


def test_every_pipelined_request_is_answered_in_order(connect: Callable[[], Connection]) -> None:
    connection = connect()
    ids = [f"request-{number}" for number in range(500)]
    connection.send(b"".join(START + b"X-Request-ID: %b\r\n\r\n" % request_id.encode() for request_id in ids))
    assert [answer.request_id for _ in ids if (answer := connection.answer())] == ids


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (POST + JSON, 413),
        (POST + b"Connection: close\r\n", 415),
        (POST + b"X-A: b\r\n" * 100, 431),
        (POST.replace(b"/jobs/", b"/" + b"y" * 9_000), 414),
        (POST.replace(b"Host:", b"Host :"), 400),
        (POST.replace(b"POST /jobs/", b"CONNECT api:443"), 405),
    ],
    ids=[413, 415, 431, 414, 400, 405],
)
def test_an_early_answer_reaches_a_client_that_sends_its_whole_body_first(
    connect: Callable[[], Connection], head: bytes, status: int
) -> None:
    """The connection was reset under the client, which then never saw the answer."""
    (answer,) = connect().send(head + b"\r\n" + BODY).answers()
    assert answer.status == status
    assert answer.fields["content-type"] == "application/problem+json"


def test_a_standard_client_gets_the_413_of_a_large_batch(read_only_system: System) -> None:
    client = http.client.HTTPConnection("127.0.0.1", read_only_system.port, timeout=10)
    client.request("POST", "/jobs/batch", BODY, {"Content-Type": "application/json"})
    with client.getresponse() as response:
        assert response.status == 413
    client.close()


def test_the_limits_are_settings_and_a_client_that_goes_on_sending_is_closed(system: System) -> None:
    system.api(
        JOBPROC_MAX_HEAD_BYTES="2000",
        JOBPROC_MAX_HEAD_FIELDS="5",
        JOBPROC_MAX_TARGET_BYTES="50",
        JOBPROC_DISCARD_SECONDS="0.5",
    )
    for raw, status in (
        (START + b"A: b\r\n" * 4 + b"\r\n", 200),
        (START + b"A: b\r\n" * 5 + b"\r\n", 431),
        (START + b"A: " + b"y" * 2_000, 431),
        (b"GET /" + b"y" * 50, 414),
    ):
        connection = Connection(system.port)
        answer = connection.send(raw).answer()
        assert answer is not None and answer.status == status
        if status != 200:
            until("the API has closed the connection", lambda: _cannot_send(connection), 5)  # noqa: B023 - called here
        connection.close()


def _cannot_send(connection: Connection) -> bool:
    try:
        connection.send(b" ")
    except OSError:
        return True
    return False
