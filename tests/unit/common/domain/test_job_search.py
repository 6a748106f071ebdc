"""The index that serves a search, the range of ids that can match, and positions in a list."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from common.domain.job import first_job_id, job_unix_ms, new_job_id
from common.domain.job_search import FIRST_ID, LAST_ID, JobSearch, ListPosition, Order, ScanIndex
from common.domain.states import State

THEN = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
MS = int(THEN.timestamp() * 1000)


def search(*statuses: State, **more: object) -> JobSearch:
    return JobSearch(statuses=frozenset(statuses), **more)  # type: ignore[arg-type]  # keyword arguments of any type


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        (search(), ScanIndex.JOBS),
        (search(queue="default", operation="x"), ScanIndex.JOBS),
        (search(State.SUCCESS), ScanIndex.JOBS),
        (search(State.SUCCESS, State.FAILED), ScanIndex.JOBS),
        (search(State.PENDING, State.FAILED), ScanIndex.JOBS),
        (search(State.PENDING, State.IN_PROGRESS, State.SCHEDULED, State.RETRYING), ScanIndex.LIVE),
        (search(State.FAILED), ScanIndex.UNSUCCESSFUL),
        (search(State.FAILED, State.CANCELLED), ScanIndex.UNSUCCESSFUL),
        (search(State.FAILED, tag="a"), ScanIndex.TAGGED),
        (search(tag="a"), ScanIndex.TAGGED),
        (search(State.FAILED, order=Order.FINISHED), ScanIndex.FINISHED),
        (search(State.FAILED, tag="a", order=Order.FINISHED), ScanIndex.FINISHED),
    ],
)
def test_the_index_with_the_fewest_non_matching_entries_is_scanned(asked: JobSearch, index: ScanIndex) -> None:
    assert asked.index is index


def test_filters_are_named_without_those_that_are_a_range_of_ids() -> None:
    assert search(descending=False, created_after=THEN, created_before=THEN).filters == frozenset()
    assert search(State.FAILED, tag="a", queue="b", operation="c", error="d").filters == {
        "statuses",
        "tag",
        "queue",
        "operation",
        "error",
    }
    assert search(finished_after=THEN, finished_before=THEN).filters == {"finished_after", "finished_before"}


def test_a_range_has_the_ids_of_its_milliseconds_and_no_others() -> None:
    first, last = search(created_after=THEN, created_before=THEN + timedelta(milliseconds=5)).id_range(0)
    for ms, inside in ((MS - 1, False), (MS, True), (MS + 4, True), (MS + 5, False)):
        for bits in (0, -1):
            assert (first <= new_job_id(ms, bits) <= last) is inside
    assert search().id_range(0) == (FIRST_ID, LAST_ID)


def test_a_part_of_a_millisecond_is_rounded_up() -> None:
    assert search(created_after=THEN + timedelta(microseconds=1)).id_range(0)[0] == first_job_id(MS + 1)


def test_a_time_before_1970_maps_to_the_first_id() -> None:
    assert search(created_after=datetime(1900, 1, 1, tzinfo=UTC)).id_range(0)[0] == FIRST_ID


def test_jobs_that_ended_by_a_time_have_ids_up_to_that_time_plus_the_clock_skew() -> None:
    assert job_unix_ms(search(finished_before=THEN).id_range(60)[1]) == MS + 59_999
    assert job_unix_ms(search(finished_before=THEN, created_before=THEN).id_range(60)[1]) == MS - 1


def test_jobs_submitted_as_of_a_time_have_ids_up_to_that_time_plus_the_clock_skew() -> None:
    assert job_unix_ms(search(as_of=THEN).id_range(60)[1]) == MS + 59_999


def test_stored_filters_are_read_back() -> None:
    for asked in (
        search(),
        search(State.FAILED, State.CANCELLED, operation="ö", queue="q", tag="'t\"", error="%", as_of=THEN),
        search(created_after=THEN, created_before=THEN, finished_after=THEN, finished_before=THEN),
    ):
        assert JobSearch.from_json(asked.to_json()) == replace(asked, descending=False)


def test_a_position_is_not_part_of_the_range_behind_it() -> None:
    first, last = UUID(int=10), UUID(int=20)
    assert ListPosition(UUID(int=15)).ids_beyond(first, last, descending=True) == (first, UUID(int=14))
    assert ListPosition(UUID(int=15)).ids_beyond(first, last, descending=False) == (UUID(int=16), last)
    assert ListPosition(UUID(int=30)).ids_beyond(first, last, descending=True) == (first, last)
    assert ListPosition(UUID(int=5)).ids_beyond(first, last, descending=False) == (first, last)
    assert ListPosition(FIRST_ID).ids_beyond(FIRST_ID, last, descending=True)[1] == FIRST_ID
    assert ListPosition(LAST_ID).ids_beyond(first, LAST_ID, descending=False)[0] == LAST_ID
