"""A connection: requests wait in order, an upgrade is ignored, and the last answer reaches the client."""

import asyncio

import pytest
from unit.api.protocol.support.client import CHUNKED, GET, LIMITS, Client, pieces, run

from api.protocol.limits import ProtocolLimits
from common.telemetry import refusal_reasons


def test_few_pipelined_requests_are_taken_and_the_others_wait_as_bytes() -> None:
    async def test(client: Client) -> None:
        connection = client.connection
        await client.receive(b"".join(GET % number for number in range(20)))
        assert len(connection.pipeline) == LIMITS.pipelined_requests
        assert not client.transport.reads
        connection.cycle.flow.resume_reading()  # as a request does that awaits the disconnect
        assert not client.transport.reads
        connection.data_received(GET % 20)  # was on its way
        for number in range(21):
            assert len(connection.pipeline) <= LIMITS.pipelined_requests
            await client.answer(f"/{number}")
        assert client.answers == [f"/{number} 0" for number in range(21)]
        assert client.transport.reads
        assert connection.timeout_keep_alive_task is not None
        await client.receive(GET % 21)
        await client.answer("/21")
        assert client.answers[-1] == "/21 0"

    run(test)


@pytest.mark.parametrize("size", [1, 11, 10_000])
def test_pipelined_bodies_reach_their_own_requests(size: int) -> None:
    """Empty lines in a body look like ends of heads."""

    async def test(client: Client) -> None:
        bodies = [b"\r\n\r\n" * number for number in range(12)]
        raw = b"".join(
            b"POST /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)
            if number % 2
            else CHUNKED.replace(b"/0", b"/%d" % number)
            + (b"%x\r\n%b\r\n" % (len(body), body) if body else b"")
            + b"0\r\n\r\n"
            for number, body in enumerate(bodies)
        )
        await client.receive(*pieces(raw, size))
        await client.answer(*(f"/{number}" for number in range(12)))
        assert client.answers == [f"/{number} {number * 4}" for number in range(12)]

    run(test)


@pytest.mark.parametrize("offer", [b"h2c", b"websocket", b"TLS/1.0"])
@pytest.mark.parametrize("size", [1, 40, 10_000])
def test_the_body_of_a_request_that_offers_an_upgrade_is_its_body(offer: bytes, size: int) -> None:
    async def test(client: Client) -> None:
        fields = b"Connection: keep-alive, Upgrade\r\nUpgrade: %b\r\nX-A: b\r\n" % offer
        hidden = b"GET /smuggled HTTP/1.1\r\n\r\n"
        await client.receive(
            *pieces(
                b"POST /0 HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(hidden), hidden)
                + b"POST /1 HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
                % (fields, len(hidden), hidden)
                + b"GET /2 HTTP/1.0\r\n%b\r\n" % fields,
                size,
            )
        )
        await client.answer("/0", "/1", "/2")
        assert client.answers == [f"/0 {len(hidden)}", f"/1 {len(hidden)}", "/2 0"]
        assert [request["http_version"] for request in client.requests] == ["1.1", "1.1", "1.0"]
        assert (b"x-a", b"b") in client.requests[0]["headers"]

    client = run(test)
    assert client.count(refusal_reasons.UPGRADE) == 3
    assert client.count(refusal_reasons.MALFORMED) == 0


def test_a_refusal_takes_its_turn_after_the_requests_before_it() -> None:
    async def test(client: Client) -> None:
        await client.receive(GET % 0 + GET % 1 + b"BAD\r\n\r\n" + GET % 2)
        assert client.answers == []
        await client.answer("/0")
        assert client.answers == ["/0 0"]
        await client.answer("/1", "/2")
        assert client.answers == ["/0 0", "/1 0", "400"]
        assert client.transport.ended

    run(test)


def test_a_request_whose_body_is_malformed_gets_one_answer() -> None:
    """Not started, queued behind another, and already answered."""

    async def waiting(client: Client) -> None:
        await client.receive(CHUNKED, b"zz\r\n")
        assert client.answers == ["400"]
        assert client.disconnected == ["/0"]

    async def queued(client: Client) -> None:
        await client.receive(GET % 1 + CHUNKED, b"zz\r\n")
        assert client.answers == []
        await client.answer("/1")
        assert client.answers == ["/1 0", "400"]

    async def answered(client: Client) -> None:
        await client.receive(CHUNKED.replace(b"/0", b"/early"))
        await client.answer("/early")
        await client.receive(b"zz\r\n")
        assert client.answers == ["/early 0"]
        assert client.transport.ended

    for test in (waiting, queued, answered):
        run(test)


def test_what_arrives_after_the_last_answer_is_discarded_within_its_limits() -> None:
    async def by_client(client: Client) -> None:
        await client.receive(b"POST /early-close HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")
        await client.answer("/early-close")
        assert client.answers == ["/early-close 0"]
        assert client.transport.ended and not client.transport.closed
        await client.receive(b"x" * 2_000, GET % 1, b"x" * 2_900)
        assert client.transport.reads and not client.transport.closed
        assert client.connection.timeout_keep_alive_task is None

    async def by_size(client: Client) -> None:
        await by_client(client)
        await client.receive(b"x" * 100)
        assert client.transport.aborted

    async def by_time(client: Client) -> None:
        await client.receive(b"BAD\r\n\r\n")
        await asyncio.wait_for(client.transport.closing.wait(), 10)
        assert client.transport.aborted

    run(by_client)
    run(by_size)
    run(by_time, ProtocolLimits(1_024, 10, 100, 3, discard_seconds=0.01, discard_bytes=5_000))


def test_a_kept_connection_discards_the_body_of_an_answered_request_within_the_limits() -> None:
    async def goes_on(client: Client) -> None:
        await client.receive(b"POST /early HTTP/1.1\r\nContent-Length: 4000\r\n\r\n")
        await client.answer("/early")
        await client.receive(b"x" * 4_000 + GET % 1)
        await client.answer("/1")
        assert client.answers == ["/early 0", "/1 0"]
        await client.receive(b"POST /2 HTTP/1.1\r\nContent-Length: 9000\r\n\r\n" + b"x" * 9_000)
        await client.answer("/2")
        assert client.answers[2:] == ["/2 9000"]
        assert not client.transport.closed

    async def ends(client: Client) -> None:
        await client.receive(b"POST /early HTTP/1.1\r\nContent-Length: 99999\r\n\r\n")
        await client.answer("/early")
        await client.receive(b"x" * 5_001)
        assert client.transport.aborted

    run(goes_on)
    run(ends)


def test_a_client_that_was_refused_instead_of_told_to_continue_may_leave_the_body_out() -> None:
    """So the connection is closed after the answer, except if the whole body has come."""

    async def left_out(client: Client) -> None:
        await client.receive(b"POST /early HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        await client.answer("/early")
        assert b"connection: close" in client.transport.written
        await client.receive(GET % 1)
        assert client.answers == ["/early 0"]

    async def sent(client: Client) -> None:
        await client.receive(b"POST /0 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        await client.receive(b"body")
        await client.answer("/0")
        assert b"connection: close" not in client.transport.written

    run(left_out)
    run(sent)


def test_the_request_that_is_being_answered_learns_that_its_client_has_left() -> None:
    """The server tells only the last request of a connection."""

    async def test(client: Client) -> None:
        await client.receive(GET % 0 + GET % 1)
        running, last = client.connection._running, client.connection.cycle
        client.connection.connection_lost(None)
        assert running is not None and running is not last
        assert running.disconnected and last.disconnected

    run(test)
