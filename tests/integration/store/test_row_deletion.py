"""Past retention, where the partition cannot go: jobs that go one by one. Inputs that go before their jobs."""

from uuid import UUID

import pytest
from integration.store.support.past_jobs import DAYS, HOUR_S, MOST, Past, look, retry, retrying
from integration.store.support.storage import ids

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import cancel_retry, reads
from common.store.retention import by_partition, by_row
from common.store.retention.by_partition import RetentionDays
from common.store.retention.by_row import DeletionBatch


def now_ms(past: Past) -> int:
    return int(past.storage.one("SELECT extract(epoch FROM clock_timestamp()) * 1000"))


def walk(connection: WorkerConnection, past: Past, most: int = MOST) -> list[DeletionBatch]:
    """Walk through the day to its end."""
    cuts = past.kept.cutoffs(now_ms(past))
    steps, at = list[DeletionBatch](), by_row.first_position(past.period)
    while not steps or not steps[-1].is_last:
        steps.append(by_row.delete_past_retention(connection, past.period, at, most, cuts))
        at = steps[-1].position
    return steps


def strip(connection: WorkerConnection, past: Past, days: int = 2) -> int:
    with past.storage.engine.begin() as sql:
        cut_ms = RetentionDays(days, days, days).cutoffs(now_ms(past)).success_ms
        assert past.period in by_partition.periods_before(sql, cut_ms)
    return by_row.delete_inputs(connection, past.period, by_row.first_position(past.period), MOST, cut_ms).deleted


def test_jobs_are_kept_by_how_they_ended(past: Past) -> None:
    past.kept = RetentionDays(DAYS, failed=30, cancelled=1)
    failed, cancelled = past.finished(2, status="FAILED"), past.finished(1, status="CANCELLED", days_ago=2)
    done, fresh = past.finished(1), past.finished(1, days_ago=2)
    assert past.clear_all() == 3
    assert [past.storage.state(job) for job in [*failed, *fresh]] == ["FAILED", "FAILED", "SUCCESS"]
    assert [past.storage.state(job) for job in [*cancelled, *done]] == [None, None]


def test_retention_leaves_jobs_with_a_time_of_their_own_to_expiry(past: Past, connection: WorkerConnection) -> None:
    gone, (job,) = past.finished(), past.finished(keep_s=86_400 * 30)
    assert past.clear_all() == 1
    assert [past.storage.state(one) for one in [*gone, job]] == [None, "SUCCESS"]
    assert walk(connection, past)[-1].deleted == 0
    past.storage.rows("UPDATE outcomes SET finished_at = now() - interval '31 days'")
    assert past.clear_all() == 1
    assert look(connection, past.storage) == (1, 1)
    assert past.clear_all() == 0


def test_where_too_many_must_stay_the_others_go_one_by_one_in_bounded_steps(past: Past, connection: WorkerConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_partition, "MOST_SURVIVORS", 3)
    past.kept = RetentionDays(DAYS, failed=30, cancelled=DAYS)
    stay = [*past.finished(3, status="FAILED"), *past.waiting(1), *past.finished(1, days_ago=1)]
    gone = [*past.finished(4), *past.finished(2, status="CANCELLED")]
    stay += past.finished(1, keep_s=HOUR_S)
    assert past.clear_all() == 4, "one more than may be copied"
    assert [past.storage.state(job) for job in gone] == ["SUCCESS"] * 4 + ["CANCELLED"] * 2
    steps = walk(connection, past, most=4)
    assert [(step.scanned, step.deleted) for step in steps] == [(4, 0), (4, 3), (4, 3), (0, 0)]
    assert [past.storage.state(job) for job in gone] == [None] * 6
    assert None not in [past.storage.state(job) for job in stay]
    assert sum(step.deleted for step in walk(connection, past)) == 0
    past.kept = RetentionDays(DAYS, DAYS, DAYS)
    assert past.clear_all() == 3, "once few stay, the whole partition is cleared"


def test_of_several_ends_that_one_counts_which_keeps_the_job_longest(past: Past, connection: WorkerConnection) -> None:
    past.kept = RetentionDays(DAYS, failed=30, cancelled=DAYS)
    (job,) = past.finished(status="FAILED", days_ago=10)
    past.end([job], 9, epoch=1)
    assert walk(connection, past)[-1].deleted == 0
    assert past.clear_all() == 1


def test_a_live_row_that_appears_between_gate_and_lock_keeps_its_job(past: Past) -> None:
    """An explicit retry holds the row of the job, and so the lock of the partition off, until it commits."""
    (job, *others), storage = past.finished(3), past.storage
    session = retrying(storage, job)
    with storage.engine.connect() as connection:
        cleared = storage.begin(lambda: past.clear(connection))
        storage.until_blocked(past.pid(connection), by=session.info.backend_pid)
        assert retry(session, job)
        assert cleared.result(10) == 1
        connection.commit()
    assert [storage.state(one) for one in others] == [None, None]
    claimer = storage.claimer()
    assert [(one.id, one.input) for one in claimer.claim()] == [(job, '{"data":[1]}')]


def test_a_retry_that_waits_for_a_clearing_finds_no_job(past: Past) -> None:
    (job,), storage = past.finished(), past.storage
    session = storage.session()
    with storage.engine.connect() as connection:
        assert past.clear(connection) == 0
        retried = storage.begin(lambda: retry(session, job))
        storage.until_blocked(session.info.backend_pid, by=past.pid(connection))
        connection.commit()
    assert retried.result(10) is False


def test_a_walk_and_a_clearing_at_once_take_no_job_twice_and_do_not_deadlock(past: Past, connection: WorkerConnection) -> None:
    past.finished(5)
    storage = past.storage
    (stays,) = past.waiting()
    with storage.engine.connect() as sql:
        assert past.clear(sql) == 1
        walked = storage.begin(lambda: walk(connection, past))
        storage.until_blocked(connection.driver_connection.info.backend_pid, by=past.pid(sql))
        sql.commit()
    assert sum(step.deleted for step in walked.result(10)) == 0
    assert storage.rows("SELECT id::text FROM jobs") == [(stays,)]
    assert storage.database.deadlocks() == 0


def test_what_jobs_have_in_tables_without_partitions_goes_after_their_partition(past: Past) -> None:
    gone, (stays,) = past.finished(2), past.waiting()
    storage = past.storage
    for job in [*gone, stays]:
        storage.rows("INSERT INTO reruns (id, epoch) VALUES (%s, 1); INSERT INTO deadlines VALUES (%s, now() + interval '300 days')", (job, job))
    assert past.clear_all() == 1
    with storage.engine.begin() as connection:
        assert by_partition.delete_orphans(connection, past.period) is False
    assert storage.rows("SELECT id::text FROM reruns") == storage.rows("SELECT id::text FROM deadlines") == [(stays,)]


# --- inputs


def test_inputs_of_finished_jobs_go_and_results_stay(past: Past, connection: WorkerConnection) -> None:
    storage = past.storage
    (old,), (fresh,), (kept_,) = past.finished(days_ago=3), past.finished(days_ago=1), past.finished(days_ago=3, keep_s=HOUR_S)
    (running,), (waiting,) = ids(past.running()), past.waiting()
    storage.rows("INSERT INTO reruns (id, epoch, input) VALUES (%s, 1, '{}')", (old,))
    assert strip(connection, past) == 2
    assert strip(connection, past) == 0
    there = {job: storage.api(lambda api, job=job: cancel_retry.has_input(api, UUID(job))) for job in (old, fresh, kept_, running, waiting)}  # type: ignore[misc]  # bound at once
    assert there == {old: False, fresh: True, kept_: False, running: True, waiting: True}
    storage.rows("UPDATE reruns SET input = '{}'")
    assert strip(connection, past) == 1, "what a later retry brought goes in its turn"
    found = storage.api(lambda api: reads.job(api, UUID(old))) or {}
    assert (found["input"], found["result"], storage.one("SELECT input FROM reruns")) == (None, "14.0", None)


def test_the_input_of_a_job_that_is_retried_meanwhile_stays(past: Past, connection: WorkerConnection) -> None:
    (job,), storage = past.finished(days_ago=3), past.storage
    session = retrying(storage, job)
    assert strip(connection, past) == 0
    assert retry(session, job)
    assert strip(connection, past) == 0
    assert [one.input for one in past.claimer.claim()] == ['{"data":[1]}']
