"""Cursors: a position survives encoding and decoding, under the same key and for the same list only."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from api.views.cursors import MAX_CURSOR_CHARACTERS, Cursors
from common.domain.job_search import JobSearch, ListPosition, Order
from common.domain.states import State
from common.settings import Settings

JOB = UUID("019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10")
POSITIONS = [
    ListPosition(JOB),
    ListPosition(JOB, datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)),
    ListPosition(JOB, datetime(1969, 1, 1, tzinfo=UTC)),
]
CURSORS = Cursors(Settings(cursor_key="secret"), 1)
BY_END = JobSearch(statuses=frozenset({State.FAILED, State.CANCELLED}), order=Order.FINISHED)


def test_decode_returns_the_encoded_position() -> None:
    for position in POSITIONS:
        cursor = CURSORS.encode(BY_END, position)
        assert CURSORS.decode(BY_END, cursor) == position
        assert cursor.replace("-", "").replace("_", "").isalnum(), "it needs no escaping in a URL"
        assert len(cursor) < MAX_CURSOR_CHARACTERS


def test_a_cursor_of_bulk_actions_is_invalid_for_lists_of_jobs_and_vice_versa() -> None:
    cursor = CURSORS.encode(None, POSITIONS[0])
    assert CURSORS.decode(None, cursor) == POSITIONS[0]
    assert CURSORS.decode(JobSearch(), cursor) is None
    assert CURSORS.decode(None, CURSORS.encode(JobSearch(), POSITIONS[0])) is None


def test_a_changed_cursor_is_invalid() -> None:
    cursor = CURSORS.encode(BY_END, POSITIONS[1])
    for index, letter in enumerate(cursor):
        for other in "Aa0_":
            assert other == letter or CURSORS.decode(BY_END, cursor[:index] + other + cursor[index + 1 :]) is None
    added = (cursor + "A", cursor + "=", cursor + "==", cursor + " ", "!" + cursor, cursor[:9] + "\n" + cursor[9:])
    for changed in (*added, cursor[:-1], cursor[1:], cursor * 2, "", "=", "====", "☃", "\x00", " "):
        assert CURSORS.decode(BY_END, changed) is None


def test_a_cursor_with_any_bit_changed_is_invalid() -> None:
    for position in POSITIONS:
        cursor = CURSORS.encode(BY_END, position)
        for index, letter in enumerate(cursor):
            for bit in range(8):
                changed = cursor[:index] + chr(ord(letter) ^ 1 << bit) + cursor[index + 1 :]
                assert CURSORS.decode(BY_END, changed) is None, (index, bit)


def test_a_cursor_is_valid_for_one_list_whatever_the_order_of_its_statuses() -> None:
    cursor = CURSORS.encode(BY_END, POSITIONS[0])
    assert (
        CURSORS.decode(JobSearch(statuses=frozenset([State.CANCELLED, State.FAILED]), order=Order.FINISHED), cursor)
        == POSITIONS[0]
    )
    assert CURSORS.decode(JobSearch(statuses=frozenset({State.FAILED}), order=Order.FINISHED), cursor) is None
    assert CURSORS.decode(JobSearch(), cursor) is None


def test_without_a_key_processes_of_the_same_database_accept_each_others_cursors() -> None:
    cursor = Cursors(Settings(database_url="postgresql://u:p@db/jobs"), 1).encode(JobSearch(), POSITIONS[0])
    assert Cursors(Settings(database_url="postgresql://u:p@db/jobs"), 1).decode(JobSearch(), cursor) == POSITIONS[0]
    assert Cursors(Settings(database_url="postgresql://u:p@db/others"), 1).decode(JobSearch(), cursor) is None
    assert (
        Cursors(Settings(database_url="postgresql://u:p@db/jobs", cursor_key="x"), 1).decode(JobSearch(), cursor)
        is None
    )


def test_the_key_depends_on_a_password_beside_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the chart the URL has no password, so anybody could compute the key from it."""
    settings = Settings(database_url="postgresql://u@db/jobs")
    cursor = Cursors(settings, 1).encode(JobSearch(), POSITIONS[0])
    monkeypatch.setenv("PGPASSWORD", "secret")
    settings = Settings(database_url="postgresql://u@db/jobs")
    assert Cursors(settings, 1).decode(JobSearch(), cursor) is None
