"""Which lists are estimated: those of which the statistics of one table know all that is asked for."""

from datetime import UTC, datetime

import pytest

from common.domain.job_search import Order, Search
from common.domain.states import TERMINAL, State
from common.store.listing import estimates

THEN = datetime(2026, 1, 1, tzinfo=UTC)
FAILED = frozenset({State.FAILED})


@pytest.mark.parametrize(
    ("search", "table"),
    [
        (Search(), "jobs"),
        (Search(created_after=THEN, created_before=THEN, descending=False), "jobs"),
        (Search(operation="square_sum", queue="default"), "jobs"),
        (Search(tag="nightly", created_after=THEN), "tags"),
        (Search(statuses=FAILED, created_after=THEN), "outcomes"),
        (Search(statuses=FAILED, order=Order.FINISHED), "outcomes"),
        (Search(statuses=TERMINAL, finished_after=THEN), "outcomes"),
    ],
)
def test_one_table_knows_it(search: Search, table: str) -> None:
    assert estimates.counted_in(search) == table


@pytest.mark.parametrize(
    "search",
    [
        Search(tag="nightly", queue="default"),
        Search(statuses=FAILED, tag="nightly"),
        Search(statuses=FAILED, operation="square_sum"),
        Search(statuses=FAILED, error="timeout"),
        Search(statuses=frozenset({State.PENDING})),
        Search(statuses=frozenset({State.FAILED, State.PENDING})),
    ],
)
def test_what_no_table_knows_alone_is_not_guessed(search: Search) -> None:
    assert estimates.counted_in(search) is None
