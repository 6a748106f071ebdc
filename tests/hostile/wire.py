"""Bytes that are almost a request: framing broken on purpose, cut anywhere, sent in any segments."""

import random
from collections.abc import Callable

_LINES = [
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding : chunked",
        b"Content-Length: 5",
    ),
    *(
        b"Content-Length: -1",
        b"Content-Length: +5",
        b"Content-Length: 5, 5",
        b"Content-Length: 99999999999999999999",
        b": x",
    ),
    *(b" folded: 1", b"\tx", b"X\x00: 1", b"X: \x00", b"X: a\rb", b"X: a\nb", b"Upgrade: websocket", b"Trailer: x"),
    *(
        b"Connection: upgrade",
        b"Connection: close",
        b"Expect: 100-continue",
        b"Te: trailers",
        b"Host: a\r\nHost: b",
        b"X:" * 300,
    ),
]
_STARTS = [
    b"GET / HTTP/1.1",
    b"GET /livez HTTP/9.9",
    b"GET  /livez HTTP/1.1",
    b"PRI * HTTP/2.0",
    b"CONNECT x:1 HTTP/1.1",
]
_STARTS += [
    b"GET http://x/livez HTTP/1.1",
    b"GET /livez",
    b"\x16\x03\x01\x02\x00\x01\x00",
    b"GET /\x80 HTTP/1.1",
    b"\r\n" * 99,
]
_CHUNKS = [
    b"0\r\n\r\n",
    b"5\r\nabcde\r\n0\r\n\r\n",
    b"g\r\n",
    b"ffffffffffffffffff\r\n",
    b"-1\r\n",
    b"5;x=y\r\nabcde\r\n0\r\nX: y\r\n\r\n",
]


def broken(raw: bytes, chance: random.Random) -> list[bytes]:
    """Return a request with one to three faults in its bytes, in one to four segments."""
    for _ in range(chance.choice((1, 1, 2, 3))):
        raw = chance.choice(_FAULTS)(raw, chance)
    cuts = sorted(chance.randrange(len(raw) + 1) for _ in range(chance.choice((0, 0, 1, 3))))
    return [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]


def _parts(raw: bytes) -> tuple[list[bytes], bytes]:
    head, _, body = raw.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), body


def _join(lines: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _add_line(raw: bytes, chance: random.Random) -> bytes:
    lines, body = _parts(raw)
    lines.insert(chance.randint(1, len(lines)), chance.choice(_LINES))
    return _join(lines, body)


def _drop_line(raw: bytes, chance: random.Random) -> bytes:
    lines, body = _parts(raw)
    del lines[chance.randrange(len(lines))]
    return _join(lines, body)


def _other_start(raw: bytes, chance: random.Random) -> bytes:
    lines, body = _parts(raw)
    return _join([chance.choice(_STARTS), *lines[1:]], body)


def _chunked(raw: bytes, chance: random.Random) -> bytes:
    lines, _ = _parts(raw)
    kept = [line for line in lines if not line.startswith(b"Content-Length")]
    return _join([*kept, b"Transfer-Encoding: chunked"], chance.choice(_CHUNKS))


def _other_byte(raw: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(max(1, len(raw)))
    return raw[:at] + chance.choice((b"", b"\x00", b"\r", b"\n", b" ", b":", b"\xff", b"\r\n\r\n")) + raw[at + 1 :]


def _cut(raw: bytes, chance: random.Random) -> bytes:
    return raw[: chance.randrange(len(raw) + 1)]


def _repeated(raw: bytes, chance: random.Random) -> bytes:
    return raw * chance.choice((2, 20))


_FAULTS: list[Callable[[bytes, random.Random], bytes]] = [
    _add_line,
    _add_line,
    _drop_line,
    _other_start,
    _chunked,
    _other_byte,
    _cut,
    _repeated,
]
