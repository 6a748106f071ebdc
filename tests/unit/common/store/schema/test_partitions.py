"""Computation of missing partitions."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from common.domain.job import new_job_id
from common.store.schema.partitions import DAY_MS, Period, missing_periods

NOON = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp() * 1000)


def names(periods: list[Period]) -> list[str]:
    return [period.suffix for period in periods]


def test_a_new_database_gets_yesterday_today_and_the_days_ahead() -> None:
    assert names(missing_periods([], NOON, days=1, ahead=3)) == [
        "20260309",
        "20260310",
        "20260311",
        "20260312",
        "20260313",
    ]


def test_a_new_day_needs_one_more_partition() -> None:
    have = missing_periods([], NOON, days=1, ahead=3)
    assert missing_periods(have, NOON, days=1, ahead=3) == []
    assert names(missing_periods(have, NOON + DAY_MS, days=1, ahead=3)) == ["20260314"]


def test_larger_periods_are_cut_off_at_existing_smaller_periods() -> None:
    have = missing_periods([], NOON, days=1, ahead=3)
    made = missing_periods(have, NOON, days=7, ahead=2)
    assert names(made)[0] == "20260305"  # weeks since 1970 begin on Thursdays
    assert made[0].end == have[0].start


def test_the_bounds_of_a_period_are_the_first_ids_of_its_days() -> None:
    (period, *_) = missing_periods([], NOON, days=1, ahead=3)
    first, after = period.bounds
    assert first <= new_job_id(period.start, 0) < after
    assert first <= new_job_id(period.end - 1, 2**74 - 1) < after
    assert new_job_id(period.end, 0) >= after


#: (days later, days a partition, partitions ahead)
changes = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(2, 6)), min_size=1, max_size=6)


@given(st.integers(0, DAY_MS - 1), changes)
@example(0, [(18, 1, 3), (0, 30, 2), (4, 30, 2)])
@settings(deadline=None, max_examples=150)
def test_each_moment_has_exactly_one_partition_after_any_changes_of_the_size(
    ms: int, history: list[tuple[int, int, int]]
) -> None:
    """From yesterday to `ahead` periods after today."""
    have: list[Period] = []
    now_ms = NOON + ms
    for later, days, ahead in history:
        now_ms += later * DAY_MS
        have = sorted(have + missing_periods(have, now_ms, days, ahead))
        for before, after in pairwise(have):
            assert before.end <= after.start, "two partitions would overlap"
        last = (now_ms // (days * DAY_MS) + ahead + 1) * days * DAY_MS
        for moment in range(now_ms - DAY_MS, last, DAY_MS):
            assert any(period.start <= moment < period.end for period in have), (
                f"no partition for a job {(moment - now_ms) // DAY_MS} days from now"
            )
        assert len(set(names(have))) == len(have), "two partitions would have one name"


@pytest.mark.parametrize("days", [1, 7, 30, 366])
def test_no_partition_is_missing_right_after_all_were_created(days: int) -> None:
    assert missing_periods(missing_periods([], NOON, days, 2), NOON, days, 2) == []
