"""The places where heads end, and a head without its offer of an upgrade."""

import pytest

from api.protocol.heads import END, end_of_heads, head_without_upgrade

HEAD = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_no_more_heads_end_before_the_place_than_are_asked_for(count: int) -> None:
    data = HEAD * 7 + HEAD[:5]
    place = end_of_heads(data, len(HEAD), len(data), count)
    assert data[len(HEAD) : place] == HEAD * count


def test_the_place_is_the_end_if_fewer_heads_end_before_it() -> None:
    for data in (HEAD * 2, HEAD + b"a body", HEAD + b"a\rbody", HEAD[:-1], b"a body"):
        assert end_of_heads(data, 0, len(data), 3) == len(data)
    assert end_of_heads(HEAD * 9, 0, 30, 3) == 30


def test_an_empty_line_in_a_body_counts_too() -> None:
    data = HEAD + END * 9
    assert end_of_heads(data, 0, len(data), 3) == len(HEAD) + 2 * len(END)


def test_a_head_without_its_upgrade_keeps_every_other_field() -> None:
    fields = [(b"connection", b"close, Upgrade"), (b"upgrade", b"h2c"), (b"content-length", b"3"), (b"x-upgrade", b"y")]
    assert head_without_upgrade(b"POST", b"/jobs/?a=b", "1.1", fields) == (
        b"POST /jobs/?a=b HTTP/1.1\r\nconnection: close, Upgrade\r\ncontent-length: 3\r\nx-upgrade: y\r\n\r\n"
    )
