"""Lists whose total is estimated: those whose filters are all covered by the statistics of one table."""

from datetime import UTC, datetime

import pytest

from common.domain.job_search import JobSearch, Order
from common.domain.states import TERMINAL, State
from common.store.listing import estimates

THEN = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = frozenset({State.FAILED})


@pytest.mark.parametrize(
    ("search", "table"),
    [
        (JobSearch(), "jobs"),
        (JobSearch(created_after=THEN, created_before=THEN, descending=False), "jobs"),
        (JobSearch(operation="square_sum", queue="default"), "jobs"),
        (JobSearch(tag="nightly", created_after=THEN), "tags"),
        (JobSearch(statuses=FAILED, created_after=THEN), "outcomes"),
        (JobSearch(statuses=FAILED, order=Order.FINISHED), "outcomes"),
        (JobSearch(statuses=TERMINAL, finished_after=THEN), "outcomes"),
    ],
)
def test_a_search_is_estimated_from_the_table_whose_statistics_cover_its_filters(search: JobSearch, table: str) -> None:
    assert estimates.table_with_statistics(search) == table


@pytest.mark.parametrize(
    "search",
    [
        JobSearch(tag="nightly", queue="default"),
        JobSearch(statuses=FAILED, tag="nightly"),
        JobSearch(statuses=FAILED, operation="square_sum"),
        JobSearch(statuses=FAILED, error="timeout"),
        JobSearch(statuses=frozenset({State.PENDING})),
        JobSearch(statuses=frozenset({State.FAILED, State.PENDING})),
    ],
)
def test_a_search_that_no_table_covers_alone_is_not_estimated(search: JobSearch) -> None:
    assert estimates.table_with_statistics(search) is None
