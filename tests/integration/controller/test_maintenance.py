"""Partitions made ahead, finished jobs gone with theirs, rows of old workers forgotten."""

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


def _make_day(system: System, days_ago: int) -> Period:
    """Make the partitions of a past day."""
    period = _day(days_ago)
    first, after = period.bounds
    for table in TABLES:
        system.database.rows(f"CREATE TABLE {table}_{period.suffix} (LIKE {table} INCLUDING ALL)")
        system.database.rows(f"ALTER TABLE {table} ATTACH PARTITION {table}_{period.suffix} FOR VALUES FROM ('{first}') TO ('{after}')")
    return period


def _old_job(system: System, period: Period, *, finished: bool, finished_now: bool = False) -> str:
    """Store a job of a past day, finished then or now or not at all."""
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
        system.database.rows("INSERT INTO live (id, queue, max_attempts, pos) VALUES (%s, 'default', 3, to_timestamp(%s / 1000.0))", (job_id, at))
        return job_id
    ended = datetime.now(UTC) if finished_now else datetime.fromtimestamp(at / 1000 + 60, UTC)
    system.database.rows(
        """
        INSERT INTO attempts (id, epoch, attempt, worker, started_at, retry_at, ended, error_type, error_text)
        VALUES (%(id)s, 0, 1, 1, %(at)s, %(at)s, 'error', 'E', 'e');
        INSERT INTO outcomes (id, epoch, attempt, released, rev, worker, started_at, finished_at, status, result)
        VALUES (%(id)s, 0, 2, 0, 2, 1, %(at)s, %(at)s, 'SUCCESS', '1')
        """,
        {"id": job_id, "at": ended},
    )
    return job_id


def _partitions(system: System, table: str = "jobs") -> set[str]:
    return {row[0] for row in system.database.rows("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", (table,))}


def test_jobs_past_retention_go_with_their_partition(system: System) -> None:
    """Answers for them are 404 then; the partition of a day with nothing left is dropped, in all three tables."""
    system.api()
    period = _make_day(system, 5)
    old = [_old_job(system, period, finished=True) for _ in range(20)]
    assert system.status(old[0]) == "SUCCESS"
    system.env.update(DAILY)
    system.controller()
    until("they are gone", lambda: system.client.get(f"/jobs/{old[0]}").status_code == 404, limit_s=5)
    until("its partitions are gone", lambda: not any(f"{table}_{period.suffix}" in _partitions(system, table) for table in TABLES), limit_s=5)
    assert all(system.client.get(f"/jobs/{job_id}/result").status_code == 404 for job_id in old)
    assert not system.database.rows("SELECT * FROM pg_tables WHERE tablename LIKE %s", (f"%{period.suffix}",))


def test_jobs_of_an_old_day_that_are_unfinished_or_ended_just_now_stay(system: System) -> None:
    """With their attempts. Others of their day go."""
    system.api()
    period = _make_day(system, 5)
    gone = _old_job(system, period, finished=True)
    waiting = _old_job(system, period, finished=False)
    fresh = _old_job(system, period, finished=True, finished_now=True)
    kept = system.job(fresh)
    assert [one["attempt"] for one in kept["attempts"]] == [1, 2]
    system.env.update(DAILY)
    system.controller()
    until("the one is gone", lambda: system.client.get(f"/jobs/{gone}").status_code == 404, limit_s=5)
    assert system.job(fresh) == kept
    assert system.status(waiting) == "PENDING"
    system.worker(concurrency=1)
    job = system.wait(waiting)
    assert (job["status"], job["result"]) == ("SUCCESS", 1)
    assert f"jobs_{period.suffix}" in _partitions(system)


def test_jobs_within_retention_stay(system: System) -> None:
    system.api()
    job_ids = [_old_job(system, _make_day(system, days), finished=True) for days in (1, 2) if f"jobs_{_day(days).suffix}" not in _partitions(system)]
    gone = _old_job(system, _make_day(system, 4), finished=True)
    system.env.update(DAILY)
    system.controller()
    until("the old one is gone", lambda: system.client.get(f"/jobs/{gone}").status_code == 404, limit_s=5)
    assert job_ids
    for job_id in job_ids:
        assert system.status(job_id) == "SUCCESS"


def test_retention_waits_for_a_reader_and_holds_up_nobody(system: System) -> None:
    """A report that reads the old day for hours: submissions go on, the day goes when it has ended."""
    system.env.update(DAILY, JOBPROC_LOCK_TIMEOUT_SECONDS="0.3")
    system.worker(concurrency=1).api()
    period = _make_day(system, 5)
    old = _old_job(system, period, finished=True)
    engine = create_engine(system.database.url.replace("postgresql://", "postgresql+psycopg2://"))
    with engine.connect() as report:
        report.execute(text(f"SELECT count(*) FROM jobs_{period.suffix}"))
        system.controller()
        until("it has waited", lambda: system.events("controller", "retention_waits"), limit_s=5)
        for n in range(10):
            began = time.monotonic()
            job_id = system.submit("noop", n)
            assert time.monotonic() - began < 1.0
            assert system.wait(job_id, limit_s=5)["status"] == "SUCCESS"
        assert system.status(old) == "SUCCESS"
    engine.dispose()
    until("it is gone", lambda: system.client.get(f"/jobs/{old}").status_code == 404, limit_s=8)


@pytest.mark.parametrize("days", [1, 7])
def test_partitions_are_made_ahead(system: System, days: int) -> None:
    """As many as the setting says, without a gap, in all three tables; those that are there stay."""
    before = _partitions(system)
    system.controller(JOBPROC_PARTITIONS_AHEAD="6", JOBPROC_PARTITION_DAYS=str(days))
    horizon = _day(-6 * days)
    until("the furthest is there", lambda: all(_covers(system, table, horizon) for table in TABLES), limit_s=10)
    assert before <= _partitions(system)
    for table in TABLES:
        assert all(_covers(system, table, _day(-ahead)) for ahead in range(-1, 6 * days))


def test_what_was_counted_in_live_is_forgotten(system: System) -> None:
    """Autovacuum counts whenever it likes; claims of a later backlog must not be planned by that."""
    counted = "SELECT reltuples >= 0 FROM pg_class WHERE oid = 'live'::regclass"
    system.database.rows("ANALYZE live")
    assert system.database.one(counted)
    system.controller()
    until("it is forgotten", lambda: not system.database.one(counted), limit_s=10)


def _covers(system: System, table: str, period: Period) -> bool:
    """Tell whether a job of the middle of a day would find a partition."""
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


def test_rows_of_workers_that_ended_long_ago_are_forgotten_and_others_not(system: System) -> None:
    system.database.rows(
        """
        INSERT INTO workers (alive_until, ended_at, pid, host, queues, operations)
        SELECT now() - age, CASE WHEN ended THEN now() - age END, 1, host, '{}', '{}'
        FROM (VALUES (interval '3 days', true, 'old'), (interval '1 day', true, 'yesterday')) AS w(age, ended, host)
        """
    )
    system.controller(JOBPROC_RETENTION_DAYS="2")
    until("the old one is forgotten", lambda: system.database.rows("SELECT host FROM workers") == [("yesterday",)], limit_s=5)
