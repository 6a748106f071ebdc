"""Jobs with their own retention, and races with their deletion."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from integration.store.support.past_jobs import HOUR_S, LIMIT, delete_expired, lock_for_retry, retry, set_finished_ago
from integration.store.support.storage import Storage
from rig.system import until

from common.domain.job import NewJob, Options
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import reads
from common.store.retention import by_row, keys, per_job
from common.store.schema.partitions import TABLES


def store_kept(storage: Storage, keep_s: int = HOUR_S, count: int = 1, **options: Any) -> list[str]:
    """Store jobs that are kept for `keep_s` seconds after their end."""
    new = [
        NewJob(job.id, job.operation, job.queue, job.input, 3, None, options=Options(keep_s=keep_s, **options))
        for job in storage.new(count)
    ]
    return storage.store(sorted(new, key=lambda job: job.id))


def store_finished(storage: Storage, keep_s: int = HOUR_S, count: int = 1, ago_s: float = HOUR_S + 1) -> list[str]:
    """Store and run jobs, and move their ends back by `ago_s` seconds."""
    jobs, claimer = store_kept(storage, keep_s, count), storage.claimer()
    assert claimer.settle(claimer.claim()) == set(jobs)
    set_finished_ago(storage, ago_s)
    return jobs


def next_check_in_s(storage: Storage) -> float:
    return float(storage.value("SELECT extract(epoch FROM at - clock_timestamp()) FROM expiries"))


def rows_of(storage: Storage, job: str) -> dict[str, int]:
    tables = (*TABLES, "live", "runs", "deadlines", "expiries")
    return {
        table: count
        for table in tables
        if (count := storage.value(f"SELECT count(*) FROM {table} WHERE id = %s", (job,)))
    }


# --- deletion


def test_only_a_submission_with_its_own_retention_writes_to_expiries(storage: Storage) -> None:
    storage.submit(3)
    assert storage.rows("SELECT * FROM expiries") == []
    store_kept(storage, 800)
    assert 800 + 58 < next_check_in_s(storage) < 800 + 61, "most jobs end within a minute and are then checked once"


def test_an_expired_job_is_deleted_with_all_of_its_rows(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = store_kept(storage, tags=("a", "b"), deadline=datetime.now(UTC) + timedelta(hours=1))
    claimer = storage.claimer()
    claimer.settle(claimer.claim())
    storage.rows("INSERT INTO runs (id, run) VALUES (%s, 1)", (job,))
    storage.rows("INSERT INTO attempts SELECT id, 1, 0, 0, 1, now(), now(), now(), 'error', 'E', 'e' FROM outcomes")
    other = store_finished(storage, ago_s=HOUR_S - 5)[0]
    storage.rows("UPDATE outcomes SET finished_at = clock_timestamp() - interval '1 hour 1 s' WHERE id = %s", (job,))
    assert rows_of(storage, job) == {
        "jobs": 1,
        "outcomes": 1,
        "attempts": 1,
        "tags": 2,
        "runs": 1,
        "deadlines": 1,
        "expiries": 1,
    }
    assert delete_expired(connection, storage) == (2, 1)
    assert rows_of(storage, job) == {}
    assert storage.state(other) == "SUCCESS"
    assert 0 < next_check_in_s(storage) <= 5
    assert per_job.delete_expired(connection, LIMIT) == (0, 0), "it is checked when its time is over"


def test_an_unfinished_job_is_checked_less_and_less_often(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = store_kept(storage, 10)
    assert delete_expired(connection, storage) == (1, 0)
    assert 9 < next_check_in_s(storage) <= 10, "its time cannot be over before"
    storage.rows("UPDATE jobs SET created_at = created_at - interval '80 days'")
    assert delete_expired(connection, storage) == (1, 0)
    assert 9.9 < next_check_in_s(storage) / 86_400 < 10.1
    assert storage.state(job) == "PENDING"


def test_a_row_without_its_job_is_deleted(storage: Storage, connection: WorkerConnection) -> None:
    storage.rows("INSERT INTO expiries (id, at) VALUES (uuidv7(), now())")
    assert per_job.delete_expired(connection, LIMIT) == (1, 0)
    assert storage.rows("SELECT * FROM expiries") == []


def test_the_limit_bounds_the_checked_rows_and_the_longest_overdue_come_first(
    storage: Storage, connection: WorkerConnection
) -> None:
    jobs = store_finished(storage, count=5)
    storage.rows(
        "UPDATE expiries SET at = now() - (SELECT count(*) FROM expiries e WHERE e.id > expiries.id) * interval '1 s'"
    )
    assert per_job.delete_expired(connection, 3) == (3, 3)
    assert [storage.state(job) for job in jobs] == [None, None, None, "SUCCESS", "SUCCESS"]


def test_an_idempotency_key_outlives_its_deleted_job_and_a_unique_key_does_not(
    storage: Storage, connection: WorkerConnection
) -> None:
    """A repeated request must not run a second time because its job was deleted early."""
    (job,) = store_finished(storage)
    storage.rows(
        """INSERT INTO idempotency_keys (key, until, ids, digest)
           VALUES ('k', now() + interval '1 day', ARRAY[%s::uuid], '')""",
        (job,),
    )
    storage.rows("INSERT INTO unique_keys (key, id) VALUES ('u', %s)", (str(earlier_id(job)),))
    assert delete_expired(connection, storage) == (1, 1)
    with storage.engine.begin() as sqlalchemy_connection:
        assert keys.delete_expired(sqlalchemy_connection) == 1
    assert (
        storage.value("SELECT count(*) FROM idempotency_keys"),
        storage.value("SELECT count(*) FROM unique_keys"),
    ) == (
        1,
        0,
    )


def earlier_id(job: str) -> UUID:
    """Return the id of a job made two minutes before `job`: keys of new jobs are not deleted."""
    return UUID(int=UUID(job).int - (120_000 << 80))


# --- races


def test_a_job_with_an_uncommitted_manual_retry_is_not_deleted(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = store_finished(storage)
    session = lock_for_retry(storage, job)
    assert delete_expired(connection, storage) == (1, 0), "the deletion does not wait"
    assert retry(session, job)
    assert delete_expired(connection, storage) == (1, 0)
    assert storage.state(job) == "PENDING"
    assert HOUR_S - 1 < next_check_in_s(storage) <= HOUR_S
    claimer = storage.claimer()
    assert claimer.settle(claimer.claim()) == {job}
    assert delete_expired(connection, storage) == (1, 0), "its time counts from its last end"
    set_finished_ago(storage, HOUR_S + 1)
    assert delete_expired(connection, storage) == (1, 1)


@pytest.mark.parametrize("finished_again", [False, True])
def test_a_job_that_is_retried_between_check_and_deletion_is_not_deleted(
    storage: Storage, connection: WorkerConnection, finished_again: bool
) -> None:
    """The manual retry commits after the check of the row and before its lock."""
    (job,) = store_finished(storage)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    with connection.transaction():
        due = connection.run(per_job.CHECK_DUE, (LIMIT,))
        assert due == [(job, 0)]
        assert retry(storage.session(), job)
        if finished_again:
            claimer = storage.claimer()
            assert claimer.settle(claimer.claim()) == {job}
        assert by_row.delete_jobs(connection, [(job, 0)]) == 0
    assert storage.state(job) == ("SUCCESS" if finished_again else "PENDING")
    assert storage.value("SELECT count(*) FROM expiries") == 1


def test_a_manual_retry_that_waits_for_a_deletion_finds_no_job(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = store_finished(storage)
    session = storage.session()
    with connection.transaction():
        storage.rows("UPDATE expiries SET at = clock_timestamp()")
        assert (
            by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (LIMIT,))])
            == 1
        )
        retried = storage.begin(lambda: retry(session, job))
        storage.until_blocked(session.info.backend_pid, by=connection.driver_connection.info.backend_pid)
    assert retried.result(10) is False
    assert rows_of(storage, job) == {}


def test_two_controllers_at_once_delete_each_job_once_without_waiting(
    storage: Storage, connection: WorkerConnection
) -> None:
    store_finished(storage, count=6)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    other = storage.connection()
    with connection.transaction():
        due = connection.run(per_job.CHECK_DUE, (3,))
        assert by_row.delete_jobs(connection, [(row[0], row[1]) for row in due]) == 3
        assert per_job.delete_expired(other, LIMIT) == (3, 3)
    assert storage.value("SELECT count(*) FROM jobs") == storage.value("SELECT count(*) FROM expiries") == 0
    assert storage.database.deadlocks() == 0


def test_a_reader_sees_the_whole_job_during_a_deletion_and_none_after_it(
    storage: Storage, connection: WorkerConnection
) -> None:
    (job,) = store_finished(storage)
    with connection.transaction():
        storage.rows("UPDATE expiries SET at = clock_timestamp()")
        assert (
            by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (LIMIT,))])
            == 1
        )
        assert (storage.api(lambda api: reads.job(api, 1, UUID(job))) or {})["result"] == "14.0"
    assert storage.api(lambda api: reads.job(api, 1, UUID(job))) is None


def test_a_submission_with_the_id_of_a_job_under_deletion_waits_and_stores_a_new_job(
    storage: Storage, connection: WorkerConnection
) -> None:
    (new,) = storage.new()
    deleted = store_kept(storage)
    claimer = storage.claimer()
    claimer.settle(claimer.claim())
    again = NewJob(UUID(deleted[0]), new.operation, new.queue, new.input, 3, None)
    set_finished_ago(storage, HOUR_S + 1)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    with connection.transaction():
        assert (
            by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (LIMIT,))])
            == 1
        )
        stored = storage.begin(lambda: storage.store([again]))
        until(
            "the submission waits",
            lambda: storage.value(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            ),
        )
    assert stored.result(10) == deleted
    assert storage.state(deleted[0]) == "PENDING"
