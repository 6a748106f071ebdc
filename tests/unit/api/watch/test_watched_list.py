"""Pages of followed lists: which jobs they have gained, and the ids of their events."""

import json
from uuid import UUID

import pytest

from api.watch.shared.list_events import MAX_JOBS, jobs_of_page_id, page_id
from api.watch.shared.watched_list import ListKey, WatchedPage
from common.domain.job_search import JobSearch, ListPosition
from common.store.listing.positions import ListSpan

MAX_NEWER = 3


def job(number: int) -> UUID:
    return UUID(int=number)


def page(numbers: list[int], last: int | None, *, descending: bool = True) -> WatchedPage:
    key = ListKey(1, JobSearch(descending=descending), None, len(numbers), "", 100)
    return WatchedPage(key, tuple(map(job, numbers)), None if last is None else ListPosition(job(last)))


def span(numbers: list[int], *, has_more: bool = False) -> ListSpan:
    return ListSpan([ListPosition(job(number)) for number in numbers], has_more)


def newer(watched: WatchedPage) -> tuple[int, bool, list[int]]:
    """Return the count, if there are more, and the jobs of the page's event."""
    data = json.loads(watched.newer.partition("data: ")[2])
    return data["count"], data["more"], [UUID(text).int for text in data["job_ids"]]


@pytest.mark.parametrize(
    ("found", "has_more", "expected"),
    [
        ([20, 18], False, (0, False, [])),
        ([21, 20, 19, 18], False, (2, False, [21, 19])),
        ([21, 20, 18, 17, 16], False, (1, False, [21])),  # behind the page are those of the next one
        ([21, 20, 18, 17], True, (1, False, [21])),  # the limit was behind the page
        ([25, 24, 23, 22, 21], True, (3, True, [])),
        ([25, 24, 23], True, (3, True, [])),  # the end of the page was not reached
        ([25], True, (1, True, [])),  # nor within the scan budget
        ([], True, (0, True, [])),
        ([], False, (0, False, [])),
    ],
)
def test_a_full_page_has_gained_what_is_before_its_end(
    found: list[int], has_more: bool, expected: tuple[int, bool, list[int]]
) -> None:
    watched = page([20, 18], 18)
    has_changed = watched.gained(span(found, has_more=has_more), MAX_NEWER)
    assert newer(watched) == expected
    assert has_changed is (expected != (0, False, []))
    assert watched.gained(span(found, has_more=has_more), MAX_NEWER) is False, "it is told once"


def test_a_page_that_is_not_full_has_gained_all_others() -> None:
    watched = page([20, 18], None)
    watched.gained(span([21, 20, 18, 5]), MAX_NEWER)
    assert newer(watched) == (2, False, [21, 5])
    watched.gained(span([20, 18], has_more=True), MAX_NEWER)
    assert newer(watched) == (0, False, []), "a list that no scan sees to its end has no doubt in each event"


def test_the_oldest_first_has_gained_what_is_before_its_end() -> None:
    watched = page([18, 20], 20, descending=False)
    watched.gained(span([17, 18, 19, 20, 21]), MAX_NEWER)
    assert newer(watched) == (2, False, [17, 19])


@pytest.mark.parametrize("count", [0, 1, 2, 3, MAX_JOBS])
def test_the_id_of_a_page_has_its_jobs_in_their_order(count: int) -> None:
    job_ids = tuple(UUID(int=(7 << 100) + 3 * number) for number in range(count, 0, -1))
    text = page_id(job_ids)
    assert jobs_of_page_id(text) == job_ids
    assert len(text) < 4_500


@pytest.mark.parametrize(
    "text", ["", "A" * 21, "A" * 23, "A" * 43 + "!", page_id([job(1), job(1)]), page_id(list(map(job, range(201))))]
)
def test_another_text_is_no_id_of_a_page(text: str) -> None:
    assert jobs_of_page_id(text) is None
