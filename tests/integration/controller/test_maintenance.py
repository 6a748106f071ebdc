"""Maintenance: partitions created ahead, retention of finished jobs and of workers, planner statistics."""

import random
import time
from datetime import UTC, datetime

import pytest
from rig.system import System, until
from sqlalchemy import create_engine, text

from common.domain.job import new_job_id
from common.store.schema.partitions import DAY_MS, TABLES, Period

DAILY = {"JOBPROC_RETENTION_DAYS": "2", "JOBPROC_RETENTION_CHECK_SECONDS": "0.2"}


def _day(days_ago: int) -> Period:
    day = int(time.time() * 1000) // DAY_MS - days_ago
    return Period(day * DAY_MS, (day + 1) * DAY_MS)


def _create_day(system: System, days_ago: int) -> Period:
    """Create the partitions of a past day."""
    period = _day(days_ago)
    first, after = period.bounds
    for table in TABLES:
        system.database.rows(f"SELECT create_partition('{table}', '{period.suffix}', '{first}', '{after}')")
    return period


def _old_job(system: System, period: Period, *, finished: bool, finished_now: bool = False) -> str:
    """Store a job of a past day: finished on that day, finished now, or unfinished."""
    at = period.start + DAY_MS // 2
    job_id = str(new_job_id(at, random.getrandbits(74)))
    system.database.rows(
        """
        INSERT INTO jobs (id, created_at, operation, queue, input, max_attempts)
        VALUES (%s, to_timestamp(%s / 1000.0), 'noop', 'default', '{"data":[1]}', 3)
        """,
        (job_id, at),
    )
    if not finished:
        system.database.rows(
            """
            INSERT INTO live (id, queue, max_attempts, claimable_at)
            VALUES (%s, 'default', 3, to_timestamp(%s / 1000.0))
            """,
            (job_id, at),
        )
        return job_id
    finished_at = datetime.now(UTC) if finished_now else datetime.fromtimestamp(at / 1000 + 60, UTC)
    system.database.rows(
        """
        INSERT INTO attempts (id, run, attempt, worker, started_at, retry_at, outcome, error_type, error_text)
        VALUES (%(id)s, 0, 1, 1, %(at)s, %(at)s, 'error', 'E', 'e');
        INSERT INTO outcomes (id, run, attempt, released, rev, worker, started_at, finished_at, status, result)
        VALUES (%(id)s, 0, 2, 0, 2, 1, %(at)s, %(at)s, 'SUCCESS', '1')
        """,
        {"id": job_id, "at": finished_at},
    )
    return job_id


def _partitions(system: System, table: str = "jobs") -> set[str]:
    return {
        row[0]
        for row in system.database.rows(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (table,)
        )
    }


def test_jobs_past_retention_are_dropped_with_their_partition(system: System) -> None:
    """Reads of the jobs return 404. A day's partitions are dropped in every table once no job of the day remains."""
    system.api()
    period = _create_day(system, 5)
    old = [_old_job(system, period, finished=True) for _ in range(20)]
    assert system.status(old[0]) == "SUCCESS"
    system.env.update(DAILY)
    system.controller()
    until("the jobs are deleted", lambda: system.client.get(f"/jobs/{old[0]}").status_code == 404, limit_s=5)
    until(
        "the partitions are dropped",
        lambda: not any(f"{table}_{period.suffix}" in _partitions(system, table) for table in TABLES),
        limit_s=5,
    )
    assert all(system.client.get(f"/jobs/{job_id}/result").status_code == 404 for job_id in old)
    assert not system.database.rows("SELECT * FROM pg_tables WHERE tablename LIKE %s", (f"%{period.suffix}",))


def test_unfinished_and_recently_finished_jobs_of_an_old_day_stay(system: System) -> None:
    """Their attempts stay too. Other jobs of that day are deleted."""
    system.api()
    period = _create_day(system, 5)
    expired = _old_job(system, period, finished=True)
    waiting = _old_job(system, period, finished=False)
    fresh = _old_job(system, period, finished=True, finished_now=True)
    before = system.job(fresh)
    assert [attempt["attempt"] for attempt in before["attempts"]] == [1, 2]
    system.env.update(DAILY)
    system.controller()
    until("the expired job is deleted", lambda: system.client.get(f"/jobs/{expired}").status_code == 404, limit_s=5)
    assert system.job(fresh) == before
    assert system.status(waiting) == "PENDING"
    system.worker(concurrency=1)
    job = system.wait(waiting)
    assert (job["status"], job["result"]) == ("SUCCESS", 1)
    assert f"jobs_{period.suffix}" in _partitions(system)


def test_jobs_within_retention_stay(system: System) -> None:
    system.api()
    job_ids = [
        _old_job(system, _create_day(system, days), finished=True)
        for days in (1, 2)
        if f"jobs_{_day(days).suffix}" not in _partitions(system)
    ]
    expired = _old_job(system, _create_day(system, 4), finished=True)
    system.env.update(DAILY)
    system.controller()
    until("the expired job is deleted", lambda: system.client.get(f"/jobs/{expired}").status_code == 404, limit_s=5)
    assert job_ids
    for job_id in job_ids:
        assert system.status(job_id) == "SUCCESS"


def test_retention_waits_for_a_long_query_and_delays_no_submission(system: System) -> None:
    """A report reads the old day for hours. Submissions continue meanwhile; the day is dropped after the report."""
    system.env.update(DAILY, JOBPROC_LOCK_TIMEOUT_SECONDS="0.3")
    system.worker(concurrency=1).api()
    period = _create_day(system, 5)
    old = _old_job(system, period, finished=True)
    engine = create_engine(system.database.url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as report:
        report.execute(text(f"SELECT count(*) FROM jobs_{period.suffix}"))
        system.controller()
        until("retention was deferred", lambda: system.events("controller", "retention_deferred"), limit_s=5)
        for n in range(10):
            began = time.monotonic()
            job_id = system.submit("noop", n)
            assert time.monotonic() - began < 1.0
            assert system.wait(job_id, limit_s=5)["status"] == "SUCCESS"
        assert system.status(old) == "SUCCESS"
    engine.dispose()
    until("the old job is deleted", lambda: system.client.get(f"/jobs/{old}").status_code == 404, limit_s=8)


@pytest.mark.parametrize("days", [1, 7])
def test_partitions_are_created_ahead(system: System, days: int) -> None:
    """As many as the setting requires, without a gap, of all partitioned tables. Existing partitions stay."""
    before = _partitions(system)
    system.controller(JOBPROC_PARTITIONS_AHEAD="6", JOBPROC_PARTITION_DAYS=str(days))
    horizon = _day(-6 * days)
    until("the last partition exists", lambda: all(_covers(system, table, horizon) for table in TABLES), limit_s=10)
    assert before <= _partitions(system)
    for table in TABLES:
        assert all(_covers(system, table, _day(-ahead)) for ahead in range(-1, 6 * days))


def test_planner_statistics_of_live_are_cleared(system: System) -> None:
    """Autovacuum may analyze at any time. Claims of a later backlog must not be planned with those statistics."""
    has_statistics = "SELECT reltuples >= 0 FROM pg_class WHERE oid = 'live'::regclass"
    system.database.rows("ANALYZE live")
    assert system.database.value(has_statistics)
    system.controller()
    until("the statistics are cleared", lambda: not system.database.value(has_statistics), limit_s=10)


def _covers(system: System, table: str, period: Period) -> bool:
    """Return True if a table has a partition for a job of the middle of a day."""
    job_id = new_job_id(period.start + DAY_MS // 2, 0)
    return bool(
        system.database.rows(
            """
            SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
                 LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), '''(.*)''.*''(.*)''') AS bound
            WHERE i.inhparent = %s::regclass AND %s::uuid >= bound[1]::uuid AND %s::uuid < bound[2]::uuid
            """,
            (table, str(job_id), str(job_id)),
        )
    )


def test_rows_of_workers_are_deleted_after_their_retention(system: System) -> None:
    system.database.rows(
        """
        INSERT INTO workers (alive_until, ended_at, pid, host, queues, operations)
        SELECT now() - age, CASE WHEN ended THEN now() - age END, 1, host, '{}', '{}'
        FROM (VALUES (interval '3 days', true, 'old'), (interval '1 day', true, 'yesterday')) AS w(age, ended, host)
        """
    )
    system.controller(JOBPROC_RETENTION_DAYS="2")
    until(
        "the row of the old worker is deleted",
        lambda: system.database.rows("SELECT host FROM workers") == [("yesterday",)],
        limit_s=5,
    )
