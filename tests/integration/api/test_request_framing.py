"""Bytes that two parties could split into requests differently: the API refuses them, or sees exactly one request.

The second request that an attacker would hide in them carries the id `smuggled`; no answer may have it.
"""

from collections.abc import Iterator

import pytest
from integration.api.support.answers import Connection
from rig.system import System

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: api\r\nX-Request-ID: smuggled\r\n\r\n"
SENTINEL = b"GET /livez HTTP/1.1\r\nHost: api\r\nX-Request-ID: sentinel\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def post(*fields: bytes, body: bytes = b"", start: bytes = b"POST /jobs/ HTTP/1.1\r\n") -> bytes:
    """Return a request whose fields are sent as they are."""
    return b"".join([start, b"Host: api\r\nX-Request-ID: first\r\n", *fields, b"\r\n", body])


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

REFUSED = {
    "length and chunked": post(LENGTH, CHUNKED, body=LAST_CHUNK + HIDDEN),
    "chunked and length": post(CHUNKED, LENGTH, body=LAST_CHUNK + HIDDEN),
    "length 0 and chunked": post(b"Content-Length: 0\r\n", CHUNKED, body=CHUNK),
    "two lengths that differ": post(b"Content-Length: 0\r\n", LENGTH, body=HIDDEN),
    "the same length twice": post(LENGTH, LENGTH, body=HIDDEN),
    "a list of lengths": post(b"Content-Length: 0, %d\r\n" % len(HIDDEN), body=HIDDEN),
    "a negative length": post(b"Content-Length: -1\r\n", body=HIDDEN),
    "a length with a plus": post(b"Content-Length: +5\r\n", body=HIDDEN),
    "a hexadecimal length": post(b"Content-Length: 0x5\r\n", body=HIDDEN),
    "a length with a space inside": post(b"Content-Length: 1 0\r\n", body=HIDDEN),
    "a length with a letter": post(b"Content-Length: 5a\r\n", body=HIDDEN),
    "a length with an underscore": post(b"Content-Length: 1_0\r\n", body=HIDDEN),
    "an empty length": post(b"Content-Length:\r\n", body=HIDDEN),
    "a length of 2^64": post(b"Content-Length: 18446744073709551616\r\n", body=HIDDEN),
    "an unknown encoding": post(b"Transfer-Encoding: xchunked\r\n", body=CHUNK),
    "chunked before another encoding": post(b"Transfer-Encoding: chunked, identity\r\n", body=CHUNK),
    "the encoding identity": post(b"Transfer-Encoding: identity\r\n", body=CHUNK),
    "an encoding in quotes": post(b'Transfer-Encoding: "chunked"\r\n', body=CHUNK),
    "an encoding with a vertical tab": post(b"Transfer-Encoding: \x0bchunked\r\n", body=CHUNK),
    "an encoding with a parameter": post(b"Transfer-Encoding: chunked;q=1\r\n", body=CHUNK),
    "a space before the colon of the length": post(b"Content-Length : 5\r\n", body=HIDDEN),
    "a space before the colon of the encoding": post(b"Transfer-Encoding : chunked\r\n", body=CHUNK),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked\r\n", body=CHUNK),
    "a folded encoding": post(b"Transfer-Encoding:\r\n chunked\r\n", body=CHUNK),
    "a folded field": post(b"X-A: b\r\n c: d\r\n", LENGTH, body=HIDDEN),
    "a space before the first field": b"POST /jobs/ HTTP/1.1\r\n " + LENGTH + b"\r\n" + HIDDEN,
    "a bare LF after a field": post(b"X-A: b\n", LENGTH, body=HIDDEN),
    "a bare LF after the request line": b"POST /jobs/ HTTP/1.1\n" + LENGTH + b"\r\n" + HIDDEN,
    "a bare LF as the end of the head": b"GET /livez HTTP/1.1\r\nHost: api\r\n\n" + HIDDEN,
    "a bare CR in a value": post(b"X-A: b\rContent-Length: 5\r\n", body=HIDDEN),
    "NUL in a value": post(b"X-A: b\0c\r\n", LENGTH, body=HIDDEN),
    "NUL in a name": post(b"Transfer\0-Encoding: chunked\r\n", body=CHUNK),
    "a field without a colon": post(b"Transfer-Encoding chunked\r\n", body=CHUNK),
    "a field without a name": post(b": chunked\r\n", body=CHUNK),
    "a name that is no token": post(b"Transfer(Encoding): chunked\r\n", body=CHUNK),
    "a chunk size that is no number": post(CHUNKED, body=b"zz\r\n" + HIDDEN),
    "a negative chunk size": post(CHUNKED, body=b"-1\r\n" + HIDDEN),
    "a chunk size with 0x": post(CHUNKED, body=b"0x5\r\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a chunk size of 2^64": post(CHUNKED, body=b"10000000000000000\r\n" + HIDDEN),
    "a chunk size with a bare LF": post(CHUNKED, body=b"5\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a chunk longer than its size": post(CHUNKED, body=b"5\r\nhello!\r\n0\r\n\r\n" + HIDDEN),
    "a chunk without its end": post(CHUNKED, body=b"5\r\nhello0\r\n\r\n" + HIDDEN),
    "a bare LF in an extension of a chunk": post(CHUNKED, body=b"5;a\nhello\r\n0\r\n\r\n" + HIDDEN),
    "a last chunk with a bare LF": post(CHUNKED, body=b"0\r\n\n" + HIDDEN),
    "a trailer with a length": post(CHUNKED, body=b"0\r\n" + LENGTH + b"\r\n" + HIDDEN),
    "an unknown method": post(LENGTH, body=HIDDEN, start=b"GTE /jobs/ HTTP/1.1\r\n"),
    "a version that is none": post(LENGTH, body=HIDDEN, start=b"POST /jobs/ HTTP/1.1x\r\n"),
    "two spaces before the version": post(LENGTH, body=HIDDEN, start=b"POST /jobs/ x HTTP/1.1\r\n"),
    "CONNECT": post(LENGTH, body=HIDDEN, start=b"CONNECT api:443 HTTP/1.1\r\n"),
    "CONNECT to a path": post(LENGTH, body=HIDDEN, start=b"CONNECT /jobs/ HTTP/1.1\r\n"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "an upgrade with length and chunked": post(UPGRADE, LENGTH, CHUNKED, body=LAST_CHUNK + HIDDEN),
}
ONE_REQUEST = {
    "a length": post(LENGTH, body=HIDDEN),
    "chunked": post(CHUNKED, body=CHUNK),
    "chunked in capitals": post(b"TRANSFER-ENCODING: CHUNKED\r\n", body=CHUNK),
    "a chunk with an extension": post(CHUNKED, body=CHUNK.replace(b"\r\n", b";a=b\r\n", 1)),
    "trailers": post(
        CHUNKED, body=CHUNK[:-2] + b"X-Request-ID: smuggled\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    ),
    "a body of GET": post(LENGTH, body=HIDDEN, start=b"GET /livez HTTP/1.1\r\n"),
    "an absolute target": post(LENGTH, body=HIDDEN, start=b"POST http://other/jobs/ HTTP/1.1\r\n"),
    "an upgrade to h2c with a length": post(UPGRADE, LENGTH, body=HIDDEN),
    "an upgrade to h2c with chunks": post(UPGRADE, CHUNKED, body=CHUNK),
    "an upgrade to h2c without a body": post(UPGRADE, start=b"GET /livez HTTP/1.1\r\n"),
    "an upgrade to websocket with a length": post(WEBSOCKET, LENGTH, body=HIDDEN),
    "an upgrade to websocket without a body": post(WEBSOCKET, start=b"GET /livez HTTP/1.1\r\n"),
    "an upgrade to something else": post(b"connection: upgrade\r\nuPGRADE: TLS/1.0\r\n", LENGTH, body=HIDDEN),
}


@pytest.fixture
def connection(read_only_system: System) -> Iterator[Connection]:
    """Connect to the shared API."""
    connection = Connection(read_only_system.port)
    yield connection
    connection.close()


def send(system: System, connection: Connection, raw: bytes, *, split: bool) -> None:
    """Send a request; `split`: its body only after the API has read its head."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if split and body:
        connection.send(head + end)
        system.client.get("/livez")  # answered after the head was read
        connection.send(body)
    else:
        connection.send(raw)


@pytest.mark.parametrize("split", [False, True], ids=["one segment", "two segments"])
@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_a_malformed_framing_is_refused_once_and_closes_the_connection(
    read_only_system: System, connection: Connection, raw: bytes, split: bool
) -> None:
    send(read_only_system, connection, raw, split=split)
    (answer,) = connection.answers()
    assert 400 <= answer.status < 500
    assert answer.request_id != "smuggled"


@pytest.mark.parametrize("split", [False, True], ids=["one segment", "two segments"])
@pytest.mark.parametrize("raw", ONE_REQUEST.values(), ids=ONE_REQUEST.keys())
def test_a_body_is_never_read_as_another_request(
    read_only_system: System, connection: Connection, raw: bytes, split: bool
) -> None:
    """An offered upgrade made the body the next request."""
    send(read_only_system, connection, raw, split=split)
    connection.send(SENTINEL)
    answers = [connection.answer(), connection.answer()]
    assert [answer and answer.request_id for answer in answers] == ["first", "sentinel"]
