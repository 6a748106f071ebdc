"""Row by row deletion in partitions that must stay, and deletion of inputs before their jobs."""

from functools import partial
from uuid import UUID

import pytest
from integration.store.support.past_jobs import (
    HOUR_S,
    LIMIT,
    RETENTION_DAYS,
    PastDay,
    delete_expired,
    lock_for_retry,
    retry,
)
from integration.store.support.storage import ids

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import cancel_retry, reads
from common.store.retention import by_partition, by_row
from common.store.retention.by_partition import RetentionDays
from common.store.retention.by_row import DeletionBatch


def now_ms(past: PastDay) -> int:
    return int(past.storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))


def delete_day(connection: WorkerConnection, past: PastDay, limit: int = LIMIT) -> list[DeletionBatch]:
    """Delete the jobs of a day that are past retention, batch by batch."""
    cutoffs = past.retention.cutoffs(now_ms(past))
    batches, position = list[DeletionBatch](), by_row.first_position(past.period)
    while not batches or not batches[-1].is_last:
        batches.append(by_row.delete_past_retention(connection, past.period, position, limit, cutoffs))
        position = batches[-1].position
    return batches


def delete_inputs(connection: WorkerConnection, past: PastDay, days: int = 2) -> int:
    with past.storage.engine.begin() as sql:
        cutoff_ms = RetentionDays(days, days, days).cutoffs(now_ms(past)).success_ms
        assert past.period in by_partition.periods_before(sql, cutoff_ms)
    return by_row.delete_inputs(connection, past.period, by_row.first_position(past.period), LIMIT, cutoff_ms).deleted


def test_retention_depends_on_the_outcome(past: PastDay) -> None:
    past.retention = RetentionDays(RETENTION_DAYS, failed=30, cancelled=1)
    failed, cancelled = past.finished(2, status="FAILED"), past.finished(1, status="CANCELLED", days_ago=2)
    done, fresh = past.finished(1), past.finished(1, days_ago=2)
    assert past.clear_and_commit() == 3
    assert [past.storage.state(job) for job in [*failed, *fresh]] == ["FAILED", "FAILED", "SUCCESS"]
    assert [past.storage.state(job) for job in [*cancelled, *done]] == [None, None]


def test_jobs_with_their_own_retention_are_not_deleted_by_the_general_one(
    past: PastDay, connection: WorkerConnection
) -> None:
    gone, (job,) = past.finished(), past.finished(keep_s=86_400 * 30)
    assert past.clear_and_commit() == 1
    assert [past.storage.state(job_id) for job_id in [*gone, job]] == [None, "SUCCESS"]
    assert delete_day(connection, past)[-1].deleted == 0
    past.storage.rows("UPDATE outcomes SET finished_at = now() - interval '31 days'")
    assert past.clear_and_commit() == 1
    assert delete_expired(connection, past.storage) == (1, 1)
    assert past.clear_and_commit() == 0


def test_a_day_with_too_many_survivors_is_deleted_row_by_row_in_bounded_batches(
    past: PastDay, connection: WorkerConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_partition, "MAX_SURVIVORS", 3)
    past.retention = RetentionDays(RETENTION_DAYS, failed=30, cancelled=RETENTION_DAYS)
    stay = [*past.finished(3, status="FAILED"), *past.waiting(1), *past.finished(1, days_ago=1)]
    gone = [*past.finished(4), *past.finished(2, status="CANCELLED")]
    stay += past.finished(1, keep_s=HOUR_S)
    assert past.clear_and_commit() == 4, "one more than is copied"
    assert [past.storage.state(job) for job in gone] == ["SUCCESS"] * 4 + ["CANCELLED"] * 2
    batches = delete_day(connection, past, limit=4)
    assert [(batch.scanned, batch.deleted) for batch in batches] == [(4, 0), (4, 3), (4, 3), (0, 0)]
    assert [past.storage.state(job) for job in gone] == [None] * 6
    assert None not in [past.storage.state(job) for job in stay]
    assert sum(batch.deleted for batch in delete_day(connection, past)) == 0
    past.retention = RetentionDays(RETENTION_DAYS, RETENTION_DAYS, RETENTION_DAYS)
    assert past.clear_and_commit() == 3, "with few survivors the whole partition is cleared"


def test_the_outcome_with_the_longest_retention_of_a_job_counts(past: PastDay, connection: WorkerConnection) -> None:
    past.retention = RetentionDays(RETENTION_DAYS, failed=30, cancelled=RETENTION_DAYS)
    (job,) = past.finished(status="FAILED", days_ago=10)
    past.finish([job], 9, run_number=1)
    assert delete_day(connection, past)[-1].deleted == 0
    assert past.clear_and_commit() == 1


def test_a_manual_retry_between_check_and_lock_keeps_its_job(past: PastDay) -> None:
    """A manual retry locks the job's row, and so delays the lock of the partition until it commits."""
    (job, *others), storage = past.finished(3), past.storage
    session = lock_for_retry(storage, job)
    with storage.engine.connect() as connection:
        cleared = storage.begin(lambda: past.clear(connection))
        storage.until_blocked(past.pid(connection), by=session.info.backend_pid)
        assert retry(session, job)
        assert cleared.result(10) == 1
        connection.commit()
    assert [storage.state(job_id) for job_id in others] == [None, None]
    claimer = storage.claimer()
    assert [(claimed.id, claimed.input) for claimed in claimer.claim()] == [(job, '{"data":[1]}')]


def test_a_retry_that_waits_for_a_clearing_finds_no_job(past: PastDay) -> None:
    (job,), storage = past.finished(), past.storage
    session = storage.session()
    with storage.engine.connect() as connection:
        assert past.clear(connection) == 0
        retried = storage.begin(lambda: retry(session, job))
        storage.until_blocked(session.info.backend_pid, by=past.pid(connection))
        connection.commit()
    assert retried.result(10) is False


def test_row_deletion_beside_clearing_deletes_no_job_twice_and_does_not_deadlock(
    past: PastDay, connection: WorkerConnection
) -> None:
    past.finished(5)
    storage = past.storage
    (stays,) = past.waiting()
    with storage.engine.connect() as sql:
        assert past.clear(sql) == 1
        deletion = storage.begin(lambda: delete_day(connection, past))
        storage.until_blocked(connection.driver_connection.info.backend_pid, by=past.pid(sql))
        sql.commit()
    assert sum(batch.deleted for batch in deletion.result(10)) == 0
    assert storage.rows("SELECT id::text FROM jobs") == [(stays,)]
    assert storage.database.deadlocks() == 0


def test_rows_in_unpartitioned_tables_are_deleted_after_the_partition(past: PastDay) -> None:
    gone, (stays,) = past.finished(2), past.waiting()
    storage = past.storage
    for job in [*gone, stays]:
        storage.rows(
            "INSERT INTO runs (id, run) VALUES (%s, 1);"
            "INSERT INTO deadlines (id, at) VALUES (%s, now() + interval '300 days')",
            (job, job),
        )
    assert past.clear_and_commit() == 1
    with storage.engine.begin() as connection:
        assert by_partition.delete_orphans(connection, past.period) is False
    assert storage.rows("SELECT id::text FROM runs") == storage.rows("SELECT id::text FROM deadlines") == [(stays,)]


# --- inputs


def test_inputs_of_finished_jobs_are_deleted_and_results_stay(past: PastDay, connection: WorkerConnection) -> None:
    storage = past.storage
    (old,), (fresh,), (kept,) = (
        past.finished(days_ago=3),
        past.finished(days_ago=1),
        past.finished(days_ago=3, keep_s=HOUR_S),
    )
    (running,), (waiting,) = ids(past.running()), past.waiting()
    storage.rows("INSERT INTO runs (id, run, input) VALUES (%s, 1, '{}')", (old,))
    assert delete_inputs(connection, past) == 2
    assert delete_inputs(connection, past) == 0
    has_input = {
        job: storage.api(partial(cancel_retry.has_input, job_id=UUID(job)))
        for job in (old, fresh, kept, running, waiting)
    }
    assert has_input == {old: False, fresh: True, kept: False, running: True, waiting: True}
    storage.rows("UPDATE runs SET input = '{}'")
    assert delete_inputs(connection, past) == 1, "the input of a manual retry is deleted too"
    record = storage.api(lambda api: reads.job(api, 1, UUID(old))) or {}
    assert (record["input"], record["result"], storage.value("SELECT input FROM runs")) == (None, "14.0", None)


def test_the_input_of_a_job_with_a_manual_retry_stays(past: PastDay, connection: WorkerConnection) -> None:
    (job,), storage = past.finished(days_ago=3), past.storage
    session = lock_for_retry(storage, job)
    assert delete_inputs(connection, past) == 0
    assert retry(session, job)
    assert delete_inputs(connection, past) == 0
    assert [job.input for job in past.claimer.claim()] == ['{"data":[1]}']
