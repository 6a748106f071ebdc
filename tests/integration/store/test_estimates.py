"""Estimated totals of lists: near the count, or absent where the planner's statistics cannot know the answer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.store.support.storage import Storage
from rig.system import until
from sqlalchemy import Connection

from common.domain.job import Options
from common.domain.job_search import JobSearch
from common.domain.states import State
from common.store.connection.lanes import Lane
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing import estimates, job_list
from common.store.listing.index_scan import ScanLimits

Estimate = Callable[[JobSearch], int | None]
OLD = 2_000
LIMITS = ScanLimits(50, 1_000, 0)


@pytest.fixture
def estimate(storage: Storage) -> Estimate:
    """Return a function that returns the estimated total of a list."""

    def total(search: JobSearch) -> int | None:
        def work(connection: Connection) -> int | None:
            connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
            return estimates.estimated_total(connection, 1, search, 0)

        return storage.with_pool(lambda pool: pool.run_sync(work, Lane.EXPENSIVE))

    return total


def submit(storage: Storage, count: int, *, tag: str | None = None, operation: str = "square_sum") -> None:
    jobs = [replace(job, operation=operation) for job in storage.new(count)]
    storage.store([replace(job, options=Options(tags=(tag,))) if tag else job for job in jobs])


def analyze(storage: Storage) -> None:
    # A session that goes on, as one of a pooler does, counts its rows up to ten seconds later: not as changed since.
    counted = """SELECT (SELECT sum(n_tup_ins) FROM pg_stat_user_tables WHERE relname ~ '^tags_')
                        >= (SELECT count(*) FROM tags)"""
    until("the rows are counted", lambda: storage.value(counted))
    storage.rows("VACUUM ANALYZE jobs, tags, outcomes")


def test_a_tag_that_the_statistics_do_not_have_is_not_estimated_until_they_are_renewed(
    storage: Storage, estimate: Estimate
) -> None:
    submit(storage, OLD, tag="old")
    analyze(storage)
    assert estimate(JobSearch(tag="old")) == OLD
    submit(storage, 500, tag="fresh")
    assert estimate(JobSearch(tag="fresh")) is None
    page = storage.with_pool(
        lambda pool: pool.run_sync(
            lambda connection: job_list.page(connection, 1, JobSearch(tag="fresh"), None, LIMITS), Lane.EXPENSIVE
        )
    )
    assert (len(page.jobs), page.estimated_total) == (50, None)
    old = estimate(JobSearch(tag="old"))
    assert old is not None and OLD / 2 <= old <= 2 * OLD, "the fresh jobs are few beside it"
    analyze(storage)
    assert estimate(JobSearch(tag="fresh")) == 500


def test_a_tag_that_many_fresh_jobs_may_have_is_not_estimated(storage: Storage, estimate: Estimate) -> None:
    submit(storage, OLD, tag="old")
    submit(storage, 60, tag="grows")
    analyze(storage)
    assert estimate(JobSearch(tag="grows")) == 60
    submit(storage, 1_000, tag="grows")
    assert estimate(JobSearch(tag="grows")) is None


def test_growth_is_noticed_without_the_counters_of_the_server(storage: Storage, estimate: Estimate) -> None:
    """PostgreSQL forgets them in a crash, and a replica that is promoted never had them."""
    submit(storage, OLD, tag="old")
    analyze(storage)
    submit(storage, 500, tag="fresh")
    storage.rows("SELECT pg_stat_force_next_flush()")
    storage.rows("SELECT pg_stat_reset()")
    assert estimate(JobSearch(tag="fresh")) is None


def test_a_tag_that_is_not_among_the_most_common_ones_is_not_estimated(storage: Storage, estimate: Estimate) -> None:
    """For those PostgreSQL knows only how many there are on average."""
    storage.rows(
        """INSERT INTO tags (id, tag)
           SELECT uuidv7(), CASE WHEN n <= 3000 THEN 'common' ELSE 'rare' || n / (2 + n % 7) END
           FROM generate_series(1, 6000) n"""
    )
    analyze(storage)
    (rare,) = storage.rows("SELECT tag FROM tags GROUP BY tag ORDER BY count(*), tag LIMIT 1")[0]
    assert estimate(JobSearch(tag=rare)) is None
    assert estimate(JobSearch(tag="common")) == 3_000


def test_an_operation_that_the_statistics_do_not_have_is_not_estimated(storage: Storage, estimate: Estimate) -> None:
    submit(storage, OLD)
    analyze(storage)
    submit(storage, 300, operation="cube_sum")
    assert estimate(JobSearch(operation="cube_sum")) is None
    known = estimate(JobSearch(operation="square_sum", queue="default"))
    assert known is not None and OLD / 2 <= known <= 2 * OLD
    assert estimate(JobSearch(operation="square_sum", queue="other")) is None
    analyze(storage)
    assert estimate(JobSearch(operation="cube_sum")) == 300


def test_times_after_the_last_statistics_are_not_estimated(storage: Storage, estimate: Estimate) -> None:
    submit(storage, OLD)
    analyze(storage)
    later = datetime.now(UTC) + timedelta(milliseconds=1)
    submit(storage, 400)
    assert estimate(JobSearch(created_after=later)) is None


def test_a_state_that_is_rare_among_many_jobs_is_estimated_though_jobs_ended_since(
    storage: Storage, estimate: Estimate
) -> None:
    def end(count: int, failed_every: int) -> None:
        storage.rows(
            """INSERT INTO outcomes (id, run, attempt, released, rev, status, error_type, result)
               SELECT uuidv7(), 0, 1, 0, 2, CASE WHEN n %% %s = 0 THEN 'FAILED' ELSE 'SUCCESS' END,
                      CASE WHEN n %% %s = 0 THEN 'timeout' END, CASE WHEN n %% %s <> 0 THEN '1'::json END
               FROM generate_series(1, %s) n""",
            (failed_every, failed_every, failed_every, count),
        )

    end(20_000, 100)
    analyze(storage)
    end(1_900, 100)
    failed = estimate(JobSearch(statuses=frozenset({State.FAILED})))
    assert failed is not None and 100 <= failed <= 400
    assert estimate(JobSearch(statuses=frozenset({State.CANCELLED}))) is None, "any of the fresh ones may be"


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(1, 400), st.booleans()), min_size=1, max_size=8))
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_an_estimate_of_a_tag_is_within_a_factor_of_two_whatever_happened_since_the_statistics(
    storage: Storage, estimate: Estimate, steps: list[tuple[str, int, bool]]
) -> None:
    storage.rows("TRUNCATE tags")
    for tag, count, is_analyzed in steps:
        storage.rows("INSERT INTO tags (id, tag) SELECT uuidv7(), %s FROM generate_series(1, %s)", (tag, count))
        storage.rows("SELECT pg_stat_force_next_flush()")
        if is_analyzed:
            analyze(storage)
    counts = dict(storage.rows("SELECT tag, count(*) FROM tags GROUP BY tag"))
    for tag, count in counts.items():
        total = estimate(JobSearch(tag=tag))
        assert total is None or count / 2 <= total <= count * 2, (tag, total, count)
