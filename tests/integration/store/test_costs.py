"""What a job costs: rows written, transactions, and pages walked while somebody holds an old snapshot."""

import pytest
from integration.store.support.query_plans import Plan, explain
from integration.store.support.storage import Claimer, Storage, results
from rig.system import Database, until

from common.domain.job import ClaimedJob
from common.store.connection.statement import array_literal
from common.store.jobs import claims
from common.store.jobs.claims import LowWaterMarks, Results
from common.store.schema import planner_statistics

JOBS = 2_000
SUBMITS = 20
BATCH = 400

Counts = dict[str, tuple[int, int, int, int]]


def _written(storage: Storage) -> Counts:
    """Return, by table, rows inserted, updated, updated in place (HOT) and deleted; partitions are summed up."""
    counts: Counts = {}
    for name, *four in storage.rows(
        r"""SELECT regexp_replace(relname, '_\d{8}$', ''), sum(n_tup_ins)::int, sum(n_tup_upd)::int, sum(n_tup_hot_upd)::int, sum(n_tup_del)::int
            FROM pg_stat_user_tables GROUP BY 1"""
    ):
        counts[name] = (four[0], four[1], four[2], four[3])
    return counts


class Commits:
    """Counts the transactions of a database from another one, so that looking does not count."""

    def __init__(self, storage: Storage) -> None:
        server, _, self._name = storage.settings.database_url.rpartition("/")
        self._beside = Database(f"{server}/postgres")
        storage.database.close()  # what it has not reported yet is reported now
        self._start = self.now()

    def now(self) -> int:
        return int(self._beside.one("SELECT xact_commit FROM pg_stat_database WHERE datname = %s", (self._name,)))

    def since(self, at_least: int) -> int:
        """Return how many there were since the last call, once those of closed connections are there."""
        count: int = until("the transactions are reported", lambda: n if (n := self.now() - self._start) >= at_least else 0)
        self._start += count
        return count

    def close(self) -> None:
        self._beside.close()


def _drain(claimer: Claimer) -> int:
    """Run everything as a worker does: each settle is one transaction with the next claim. Returns how many jobs."""
    ended, count = Results(), 0
    while True:
        stood, jobs = claims.settle_and_claim(claimer.connection, claimer.id, ended, claimer.queue, claimer.marks, BATCH)
        assert stood == len(ended.ids)
        count += len(jobs)
        if not jobs:
            return count
        ended = results(jobs)


def test_a_job_that_succeeds_at_once_is_written_four_times_and_takes_a_hundredth_of_a_transaction(storage: Storage) -> None:
    """One row each of jobs, live and outcomes; live is updated once, in place, and deleted. Nothing else is written."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")  # its transactions would be counted with ours
    claimer = storage.claimer()
    claimer.connection._cursor.execute("SELECT pg_stat_force_next_flush()")
    before = until("the worker's own row is counted", lambda: counts if (counts := _written(storage))["workers"][0] else None)
    batches = [storage.new(JOBS // SUBMITS) for _ in range(SUBMITS)]
    commits = Commits(storage)
    storage.store(*batches)
    assert commits.since(SUBMITS) <= SUBMITS + 10  # a connection begins with a few of its own
    assert _drain(claimer) == JOBS
    claimer.connection.close()
    assert commits.since(JOBS // BATCH) <= 0.01 * JOBS
    commits.close()
    counts = {
        name: (after[0] - old[0], after[1] - old[1], after[2] - old[2], after[3] - old[3])
        for name, after in _written(storage).items()
        if after != (old := before[name])
    }
    inserted, updated, connection, deleted = counts.pop("live")
    assert (inserted, updated, deleted) == (JOBS, JOBS, JOBS)
    assert connection == JOBS
    assert counts == {"jobs": (JOBS, 0, 0, 0), "outcomes": (JOBS, 0, 0, 0)}


def _exchange(claimer: Claimer, jobs: list[ClaimedJob], marks: LowWaterMarks) -> Plan:
    """Return what a settle with the next claim of a hundred does; the transaction is rolled back."""
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


def test_a_claim_stays_flat_while_a_transaction_is_held_open_for_a_hundred_thousand_jobs(storage: Storage) -> None:
    """Dead entries that nobody may remove lie below the mark. Without it a claim would walk them all: the last line shows it."""
    storage.fill(101_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    before = _exchange(claimer, jobs, claimer.marks).buffers
    pin = storage.session()
    pin.cursor().execute("SELECT pg_current_xact_id(), count(*) FROM workers")
    ended = results(jobs)
    for _ in range(100):
        _, jobs = claims.settle_and_claim(claimer.connection, claimer.id, ended, claimer.queue, claimer.marks, 1_000)
        assert len(jobs) == 1_000
        ended = results(jobs)
    claims.settle_and_claim(claimer.connection, claimer.id, ended, "other", LowWaterMarks(), 1)
    jobs = claimer.claim(100)
    assert _exchange(claimer, jobs, claimer.marks).buffers <= 2 * before
    pin.rollback()
    assert _exchange(claimer, jobs, LowWaterMarks()).buffers > 3 * before


def test_settling_and_claiming_a_hundred_jobs_writes_a_bounded_log(storage: Storage) -> None:
    """Five records a job: its outcome with two entries, the row that is deleted, the row that is claimed, in place."""
    storage.fill(1_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    assert _exchange(claimer, jobs, claimer.marks).root["WAL Records"] <= 6 * 100  # 521 at the time of writing


@pytest.mark.parametrize("look", ["ANALYZE live", "VACUUM live"])
def test_what_was_counted_in_a_drained_queue_does_not_slow_the_next_backlog(storage: Storage, look: str) -> None:
    """Pages are left of what was drained, as its last job is. By the few rows that were counted in them all later ones would be few."""
    storage.rows("ALTER TABLE live SET (autovacuum_enabled = off)")
    storage.fill(5_000, "timestamptz '2026-01-01 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    storage.rows("DELETE FROM live WHERE id < (SELECT id FROM live ORDER BY id DESC LIMIT 1)")
    storage.rows(look)
    storage.fill(5_000, "timestamptz '2026-01-02 00:00:00+00' + row_number() OVER () * interval '1 ms'")
    claimer = storage.claimer()
    jobs = claimer.claim(100)
    assert _exchange(claimer, jobs, claimer.marks).wide("live"), "what the statistics do"
    planner_statistics.clear_live_statistics(claimer.connection)
    assert _exchange(claimer, jobs, claimer.marks).wide("live") == []
    assert storage.one("SELECT reltuples FROM pg_class WHERE oid = 'live'::regclass") == -1
