"""Costs of a job: rows written, transactions, and pages read beside an old snapshot."""

import pytest
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Claimer, Storage, results
from rig.system import Database, until

from common.domain.job import ClaimedJob
from common.store.connection.statement import array_literal
from common.store.jobs import claims
from common.store.schema import planner_statistics
from common.store.workers.low_water_marks import LowWaterMarks
from common.store.workers.results import Results

JOBS = 2_000
SUBMITS = 20
BATCH = 400

Counts = dict[str, tuple[int, int, int, int]]


def _written(storage: Storage) -> Counts:
    """Return rows inserted, updated, updated in place (HOT) and deleted, by table; partitions are summed up."""
    counts: Counts = {}
    for name, *row in storage.rows(
        r"""SELECT regexp_replace(relname, '_\d{8}$', ''), sum(n_tup_ins)::int, sum(n_tup_upd)::int,
                   sum(n_tup_hot_upd)::int, sum(n_tup_del)::int
            FROM pg_stat_user_tables GROUP BY 1"""
    ):
        counts[name] = (row[0], row[1], row[2], row[3])
    return counts


class CommitCounter:
    """Counts the transactions of a database from another one, so that its own queries do not count."""

    def __init__(self, storage: Storage) -> None:
        server, _, self._name = storage.settings.database_url.rpartition("/")
        self._beside = Database(f"{server}/postgres")
        storage.database.close()  # reports its pending statistics
        self._start = self.now()

    def now(self) -> int:
        return int(self._beside.value("SELECT xact_commit FROM pg_stat_database WHERE datname = %s", (self._name,)))

    def since(self, at_least: int) -> int:
        """Return the number of commits since the last call, once at least `at_least` are reported."""
        count: int = until(
            "the transactions are reported", lambda: n if (n := self.now() - self._start) >= at_least else 0
        )
        self._start += count
        return count

    def close(self) -> None:
        self._beside.close()


def _drain(claimer: Claimer) -> int:
    """Run all jobs as a worker does: each settle is one transaction with the next claim. Returns how many jobs."""
    settled, count = Results(), 0
    while True:
        accepted, jobs = claims.settle_and_claim(
            claimer.connection, claimer.id, settled, claimer.queue, claimer.marks, BATCH
        )
        assert accepted == len(settled.ids)
        count += len(jobs)
        if not jobs:
            return count
        settled = results(jobs)


def test_a_successful_job_is_four_row_writes_and_a_hundredth_of_a_transaction(
    storage: Storage,
) -> None:
    """One row each of jobs, live and outcomes. That of live is updated once, in place, and deleted."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")  # autovacuum's transactions would be counted
    claimer = storage.claimer()
    claimer.connection._cursor.execute("SELECT pg_stat_force_next_flush()")
    before = until(
        "the worker's own row is counted", lambda: counts if (counts := _written(storage))["workers"][0] else None
    )
    batches = [storage.new(JOBS // SUBMITS) for _ in range(SUBMITS)]
    commits = CommitCounter(storage)
    storage.store(*batches)
    assert commits.since(SUBMITS) <= SUBMITS + 10  # a connection begins with a few
    assert _drain(claimer) == JOBS
    claimer.connection.close()
    assert commits.since(JOBS // BATCH) <= 0.01 * JOBS
    commits.close()
    counts = {
        name: (after[0] - old[0], after[1] - old[1], after[2] - old[2], after[3] - old[3])
        for name, after in _written(storage).items()
        if after != (old := before[name])
    }
    inserted, updated, in_place, deleted = counts.pop("live")
    assert (inserted, updated, deleted) == (JOBS, JOBS, JOBS)
    assert in_place == JOBS
    assert counts == {"jobs": (JOBS, 0, 0, 0), "outcomes": (JOBS, 0, 0, 0)}


def _explain_settle_and_claim(claimer: Claimer, jobs: list[ClaimedJob], marks: LowWaterMarks) -> Plan:
    """Return the plan of a settle with the next claim of a hundred; the transaction is rolled back."""
    arguments = (
        claimer.id,
        *results(jobs).arguments(),
        claimer.queue,
        claims._PRIORITY_ARRAY,
        array_literal(marks.claimable_at.values()),
        array_literal(marks.id.values()),
        100,
    )
    return explain(claimer.connection, claims.SETTLE_AND_CLAIM, arguments)


def test_a_claim_costs_the_same_beside_a_transaction_that_is_open_for_a_hundred_thousand_jobs(storage: Storage) -> None:
    """Dead entries that vacuum may not remove are below the mark. Without it a claim reads them all (last line)."""
    storage.fill(101_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    before = _explain_settle_and_claim(claimer, jobs, claimer.marks).buffers
    long_transaction = storage.session()
    long_transaction.cursor().execute("SELECT pg_current_xact_id(), count(*) FROM workers")
    settled = results(jobs)
    for _ in range(100):
        _, jobs = claims.settle_and_claim(claimer.connection, claimer.id, settled, claimer.queue, claimer.marks, 1_000)
        assert len(jobs) == 1_000
        settled = results(jobs)
    claims.settle_and_claim(claimer.connection, claimer.id, settled, "other", LowWaterMarks(), 1)
    jobs = claimer.claim(100)
    assert _explain_settle_and_claim(claimer, jobs, claimer.marks).buffers <= 2 * before
    long_transaction.rollback()
    assert _explain_settle_and_claim(claimer, jobs, LowWaterMarks()).buffers > 3 * before


def test_a_settle_and_claim_of_a_hundred_jobs_writes_bounded_wal(storage: Storage) -> None:
    """Five records a job: its outcome with two index entries, the deleted row, the row claimed in place."""
    storage.fill(1_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    assert (
        _explain_settle_and_claim(claimer, jobs, claimer.marks).root["WAL Records"] <= 6 * 100
    )  # 521 at the time of writing


@pytest.mark.parametrize("statement", ["ANALYZE live", "VACUUM live"])
def test_statistics_of_a_drained_queue_do_not_slow_the_next_backlog(storage: Storage, statement: str) -> None:
    """The drained table keeps its pages. By the few rows counted in them the planner would expect few later."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    storage.fill(5_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    storage.rows("DELETE FROM live WHERE id < (SELECT id FROM live ORDER BY id DESC LIMIT 1)")
    storage.rows(statement)
    storage.fill(5_000, "timestamptz '2026-01-02 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    assert _explain_settle_and_claim(claimer, jobs, claimer.marks).unbounded("live"), "the effect of the statistics"
    planner_statistics.clear_live_statistics(claimer.connection)
    assert _explain_settle_and_claim(claimer, jobs, claimer.marks).unbounded("live") == []
    assert storage.value("SELECT reltuples FROM pg_class WHERE oid = 'live'::regclass") == -1
