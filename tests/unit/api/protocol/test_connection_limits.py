"""Limits of a head, a target, fields and trailers, to the byte and for any segmentation."""

import pytest
from unit.api.protocol.support.client import CHUNKED, GET, Client, pieces, run

from common.telemetry import refusal_reasons


def head(size: int, start: bytes = b"GET /0 HTTP/1.1\r\n") -> bytes:
    """Return a head of so many bytes, nearly all of them in one value."""
    return start + b"A: " + b"x" * (size - len(start) - 7) + b"\r\n\r\n"


@pytest.mark.parametrize("size", [7, 500, 1_024, 4_000])
def test_a_head_may_have_as_many_bytes_as_its_limit_and_no_more(size: int) -> None:
    async def accepted(client: Client) -> None:
        await client.receive(*pieces(head(1_024), size))
        await client.answer("/0")
        assert client.answers == ["/0 0"]

    async def refused(client: Client) -> None:
        await client.receive(*pieces(head(1_025), size))
        assert client.answers == ["431"]
        assert client.requests == []

    assert run(accepted).count(refusal_reasons.HEAD_BYTES) == 0
    assert run(refused).count(refusal_reasons.HEAD_BYTES) == 1


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"GET /", "414"),
        (b"GET /0 HTTP/1.1\r\nA: b", "431"),
        (b"GET /0 HTTP/1.1\r\nA", "431"),
        (b"\r\n", "431"),
        (b"POST /0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b", "431"),
        (b"POST /0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;ext", "431"),
    ],
)
def test_a_part_that_never_ends_is_refused_before_the_parser_has_kept_much_of_it(endless: bytes, status: str) -> None:
    async def test(client: Client) -> None:
        await client.receive(endless)
        arrived = 0
        while not client.answers and arrived < 100_000:
            arrived += 100
            await client.receive((b"\r\n" if endless == b"\r\n" else b"xx") * 50)
        assert client.answers == [status]
        assert arrived <= 1_100

    run(test)


@pytest.mark.parametrize("size", [3, 5_000])
def test_a_target_and_the_fields_have_limits(size: int) -> None:
    async def accepted(client: Client) -> None:
        await client.receive(*pieces(b"GET /0?%b HTTP/1.1\r\n%b\r\n" % (b"q" * 97, b"A: b\r\n" * 10), size))
        await client.answer("/0")
        assert client.answers == ["/0 0"]

    async def long(client: Client) -> None:
        await client.receive(*pieces(b"GET /0?%b HTTP/1.1\r\n\r\n" % (b"q" * 98), size))
        assert client.answers == ["414"]

    async def many(client: Client) -> None:
        await client.receive(*pieces(b"GET /0 HTTP/1.1\r\n%b\r\n" % (b"A: b\r\n" * 11), size))
        assert client.answers == ["431"]

    run(accepted)
    assert run(long).count(refusal_reasons.TARGET) == 1
    assert run(many).count(refusal_reasons.HEAD_FIELDS) == 1


@pytest.mark.parametrize("size", [1, 13, 5_000])
def test_trailers_are_dropped_and_have_the_limits_of_a_head(size: int) -> None:
    async def accepted(client: Client) -> None:
        await client.receive(*pieces(CHUNKED + b"3\r\nabc\r\n0\r\n" + b"X-A: b\r\n" * 10 + b"\r\n" + GET % 1, size))
        await client.answer("/0", "/1")
        assert client.answers == ["/0 3", "/1 0"]
        assert [name for name, _ in client.requests[0]["headers"]] == [b"transfer-encoding"]

    async def refused(client: Client) -> None:
        await client.receive(*pieces(CHUNKED + b"3\r\nabc\r\n0\r\n" + b"X-A: b\r\n" * 11 + b"\r\n" + GET % 1, size))
        assert client.answers == ["431"]

    run(accepted)
    assert run(refused).count(refusal_reasons.TRAILERS) == 1


def test_a_body_is_no_head_however_long_and_in_however_small_chunks() -> None:
    async def test(client: Client) -> None:
        await client.receive(b"POST /0 HTTP/1.1\r\nContent-Length: 9000\r\n\r\n", *pieces(b"\r\n" * 4_500, 3_000))
        await client.answer("/0")
        await client.receive(CHUNKED.replace(b"/0", b"/1") + b"1\r\n\n\r\n" * 2_000 + b"0\r\n\r\n")
        await client.answer("/1")
        assert client.answers == ["/0 9000", "/1 2000"]

    run(test)
