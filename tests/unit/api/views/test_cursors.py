"""Cursors: what is written is read again, by who has the key, for the list that it is of."""

from datetime import UTC, datetime
from uuid import UUID

from api.views.cursors import MAX_CURSOR_CHARACTERS, Cursors
from common.domain.job_search import JobSearch, ListPosition, Order
from common.domain.states import State
from common.settings import Settings

JOB = UUID("019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10")
PLACES = [ListPosition(JOB), ListPosition(JOB, datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)), ListPosition(JOB, datetime(1969, 1, 1, tzinfo=UTC))]
HERE = Cursors(Settings(cursor_key="secret"))
BY_END = JobSearch(statuses=frozenset({State.FAILED, State.CANCELLED}), order=Order.FINISHED)


def test_what_is_written_is_read_again() -> None:
    for place in PLACES:
        word = HERE.encode(BY_END, place)
        assert HERE.decode(BY_END, word) == place
        assert word.replace("-", "").replace("_", "").isalnum(), "it stands in a URL as it is"
        assert len(word) < MAX_CURSOR_CHARACTERS


def test_one_of_the_actions_is_of_no_list_of_jobs() -> None:
    word = HERE.encode(None, PLACES[0])
    assert HERE.decode(None, word) == PLACES[0]
    assert HERE.decode(JobSearch(), word) is None
    assert HERE.decode(None, HERE.encode(JobSearch(), PLACES[0])) is None


def test_no_letter_of_it_can_be_changed() -> None:
    word = HERE.encode(BY_END, PLACES[1])
    for at, letter in enumerate(word):
        for other in "Aa0_":
            assert other == letter or HERE.decode(BY_END, word[:at] + other + word[at + 1 :]) in (None, PLACES[1] if at == len(word) - 1 else None)
    for cut in (word[:-1], word[1:], word + "A", word * 2, "", "=", "====", "☃", "\x00", " "):
        assert HERE.decode(BY_END, cut) is None


def test_it_is_of_one_list_whatever_the_order_of_its_statuses() -> None:
    word = HERE.encode(BY_END, PLACES[0])
    assert HERE.decode(JobSearch(statuses=frozenset([State.CANCELLED, State.FAILED]), order=Order.FINISHED), word) == PLACES[0]
    assert HERE.decode(JobSearch(statuses=frozenset({State.FAILED}), order=Order.FINISHED), word) is None
    assert HERE.decode(JobSearch(), word) is None


def test_without_a_key_all_processes_of_one_database_agree() -> None:
    word = Cursors(Settings(database_url="postgresql://u:p@db/jobs")).encode(JobSearch(), PLACES[0])
    assert Cursors(Settings(database_url="postgresql://u:p@db/jobs")).decode(JobSearch(), word) == PLACES[0]
    assert Cursors(Settings(database_url="postgresql://u:p@db/others")).decode(JobSearch(), word) is None
    assert Cursors(Settings(database_url="postgresql://u:p@db/jobs", cursor_key="x")).decode(JobSearch(), word) is None
