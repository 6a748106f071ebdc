"""Retention by partition: survivors stay, and no concurrent submission, claim or settle loses a job."""

import contextlib
import time
from collections.abc import Iterator

import pytest
from integration.store.support.past_jobs import RETENTION_DAYS, PastDay
from integration.store.support.storage import LOST, Storage, id_in, ids, retry_after
from sqlalchemy.exc import OperationalError

from common.settings import Settings
from common.store.jobs import failures, reads
from common.store.retention import by_partition
from common.store.retention.by_partition import RetentionDays
from common.store.schema.partitions import TABLES, periods

QUICKLY_S = 0.5


@pytest.fixture
def impatient(settings: Settings, storage: Storage) -> Iterator[Storage]:
    """The same database, with a lock timeout of a tenth of a second."""
    impatient = Storage(settings.model_copy(update={"lock_timeout_seconds": 0.1}))
    yield impatient
    impatient.close()


def test_only_periods_that_end_before_a_cutoff_are_removable(past: PastDay) -> None:
    with past.storage.engine.begin() as connection:
        cutoffs, removable = by_partition.removable_periods(connection, past.retention)
        assert removable == [past.period]
        assert (
            by_partition.removable_periods(
                connection, RetentionDays(RETENTION_DAYS + 5, RETENTION_DAYS + 5, RETENTION_DAYS + 5)
            )[1]
            == []
        )
        assert by_partition.removable_periods(
            connection, RetentionDays(RETENTION_DAYS + 5, RETENTION_DAYS, RETENTION_DAYS + 5)
        )[1] == [past.period], "failed jobs may be removed"
        now_ms = int(past.storage.value("SELECT extract(epoch FROM clock_timestamp()) * 1000"))
        assert abs(cutoffs.success_ms - (now_ms - RETENTION_DAYS * 86_400_000)) < 5_000


def test_old_finished_jobs_are_deleted_and_all_others_stay_unchanged(past: PastDay) -> None:
    deleted = past.finished(5)
    recent = past.finished(2, days_ago=1)
    (running,) = ids(past.running())
    (retried,) = past.running()
    past.claimer.write([retried], retry_after(3_600))
    waiting = past.waiting(2)
    today = past.storage.submit(1)
    before = {
        table: past.storage.rows(f"SELECT * FROM {table} WHERE id <> ALL(%s::uuid[]) ORDER BY id", (deleted,))
        for table in (*TABLES, "live")
    }
    assert past.clear_and_commit() == 6
    assert {table: past.storage.rows(f"SELECT * FROM {table} ORDER BY id") for table in (*TABLES, "live")} == before
    assert [past.storage.state(job) for job in deleted] == [None] * 5
    assert {job: past.storage.state(job) for job in [*recent, running, retried.id, *waiting, *today]} == {
        **dict.fromkeys(recent, "SUCCESS"),
        running: "IN_PROGRESS",
        retried.id: "RETRYING",
        **dict.fromkeys([*waiting, *today], "PENDING"),
    }
    assert past.clear_and_commit() == 6, "survivors stay, and are not copied again"


def test_a_period_with_too_many_survivors_is_deferred(past: PastDay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_partition, "MAX_SURVIVORS", 3)
    deleted = past.finished(2)
    past.waiting(4)
    assert past.clear_and_commit() == 4
    assert past.storage.state(deleted[0]) == "SUCCESS"
    past.storage.rows("DELETE FROM live WHERE id = (SELECT max(id::text)::uuid FROM live)")
    assert past.clear_and_commit() == 3
    assert past.storage.state(deleted[0]) is None


def test_only_an_empty_period_is_dropped(past: PastDay) -> None:
    past.finished(3)
    (kept,) = past.waiting()
    for survivors, stays in ((1, True), (0, False)):
        assert past.clear_and_commit() == survivors
        with past.storage.engine.begin() as connection:
            by_partition.drop_empty(connection, past.period)
        with past.storage.engine.begin() as connection:
            assert [past.period in periods(connection, table) for table in TABLES] == [stays] * len(TABLES)
        if stays:
            assert past.claimer.settle(past.claimer.claim()) == {kept}
            past.storage.rows("UPDATE outcomes SET finished_at = now() - interval '30 days'")


def test_a_drop_gives_up_at_once_beside_an_uncommitted_submission(past: PastDay) -> None:
    past.clear_and_commit()
    late = past.storage.session()
    late.cursor().execute(
        """INSERT INTO jobs (id, operation, queue, input, max_attempts)
           VALUES (uuidv7(), 'square_sum', 'default', '{}', 3)"""
    )
    began = time.monotonic()
    with pytest.raises(OperationalError), past.storage.engine.begin() as connection:
        by_partition.drop_empty(connection, past.period)
    assert time.monotonic() - began < QUICKLY_S
    late.rollback()


def test_a_submission_that_commits_before_the_lock_is_kept(past: PastDay) -> None:
    """Survivors are counted again under the lock."""
    past.finished(3)
    late, storage = past.storage.session(), past.storage
    job_id = str(id_in(past.period, 999))
    late.cursor().execute(
        "INSERT INTO jobs (id, operation, queue, input, max_attempts) VALUES (%s, 'square_sum', 'default', '{}', 3)",
        (job_id,),
    )
    late.cursor().execute(
        "INSERT INTO live (id, queue, max_attempts, claimable_at) VALUES (%s, 'default', 3, now())", (job_id,)
    )
    with storage.engine.connect() as connection:
        cleared = storage.begin(lambda: past.clear(connection))
        storage.until_blocked(past.pid(connection), by=late.info.backend_pid)
        late.commit()
        assert cleared.result(10) == 1
        connection.commit()
    assert past.claimer.settle(past.claimer.claim()) == {job_id}


def test_a_submission_waits_for_an_uncommitted_clearing_and_is_stored(past: PastDay) -> None:
    past.finished(3)
    with past.storage.engine.connect() as connection:
        assert past.clear(connection) == 0
        stored = past.storage.begin(past.waiting)
        past.storage.until_blocked(past.blocked_pid(), by=past.pid(connection))
        connection.commit()
    assert [past.storage.state(job) for job in stored.result(10)] == ["PENDING"]


def test_a_settle_that_commits_before_the_lock_is_kept(past: PastDay) -> None:
    past.finished(3)
    jobs, storage = past.running(2), past.storage
    with storage.engine.connect() as connection:
        with past.claimer.connection.transaction():
            past.claimer.settle(jobs)
            cleared = storage.begin(lambda: past.clear(connection))
            storage.until_blocked(past.pid(connection), by=past.claimer.pid)
        assert cleared.result(10) == 2
        connection.commit()
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS"] * 2


def test_a_settle_waits_for_an_uncommitted_clearing_and_is_stored(past: PastDay) -> None:
    past.finished(3)
    jobs, storage = past.running(2), past.storage
    with storage.engine.connect() as connection:
        assert past.clear(connection) == 2
        settled = storage.begin(lambda: past.claimer.settle(jobs))
        storage.until_blocked(past.claimer.pid, by=past.pid(connection))
        connection.commit()
    assert settled.result(10) == set(ids(jobs))
    assert [storage.state(job.id) for job in jobs] == ["SUCCESS"] * 2


@pytest.mark.parametrize("prepared", [False, True])
def test_a_claim_that_waits_for_a_clearing_reads_the_input(past: PastDay, prepared: bool) -> None:
    past.finished(3)
    if prepared:
        past.claimer.claim()
    (job_id,) = past.waiting()
    past.storage.rows("UPDATE live SET claimable_at = clock_timestamp()")
    with past.storage.engine.connect() as connection:
        assert past.clear(connection) == 1
        claimed = past.storage.begin(past.claimer.claim)
        past.storage.until_blocked(past.claimer.pid, by=past.pid(connection))
        connection.commit()
    assert [(job.id, job.input) for job in claimed.result(10)] == [(job_id, '{"data":[1]}')]


def test_a_reader_sees_a_survivor_during_and_after_a_clearing(past: PastDay) -> None:
    past.finished(3)
    past.waiting()
    job_id, storage = id_in(past.period, 3), past.storage
    with storage.engine.connect() as connection:
        assert past.clear(connection) == 1
        record = storage.begin(lambda: storage.api(lambda api: reads.job(api, 1, job_id)))
        storage.until_blocked(past.blocked_pid(), by=past.pid(connection))
        connection.commit()
    assert (record.result(10) or {})["status"] == "PENDING"


def test_a_long_reader_defers_a_clearing_that_blocks_no_other_session(past: PastDay) -> None:
    """Claims, reads and submissions of today would queue behind a lock request. They proceed while this one waits."""
    old = past.finished(2)
    storage = past.storage
    claimer = storage.claimer()
    for _ in range(2):
        storage.submit()
        claimer.settle(claimer.claim())
    (today,) = storage.submit()
    reader = storage.session()
    reader.cursor().execute("SELECT count(*) FROM job_states")
    with storage.engine.connect() as connection:
        cleared = storage.begin(lambda: past.clear(connection))
        storage.until_blocked(past.pid(connection), by=reader.info.backend_pid)
        began = time.monotonic()
        assert ids(claimer.claim()) == [today]
        storage.submit()
        assert storage.state(today) == "IN_PROGRESS"
        waited = time.monotonic() - began
        assert isinstance(cleared.exception(10), OperationalError)
        connection.rollback()
    assert waited < QUICKLY_S
    reader.rollback()
    assert [storage.state(job) for job in old] == ["SUCCESS"] * 2
    past.clear_and_commit()
    assert [storage.state(job) for job in old] == [None] * 2


def test_a_transaction_that_fails_an_old_job_and_then_claims_does_not_deadlock_with_a_clearing(past: PastDay) -> None:
    """It has written to outcomes and reads jobs; the clearing has jobs and waits for outcomes. The clearing yields."""
    past.finished(2)
    (job,) = past.running()
    storage, worker = past.storage, past.claimer
    (today,) = storage.submit()
    with storage.engine.connect() as connection:
        with worker.connection.transaction():
            failures.write_decisions(worker.connection, worker.id, [(job, LOST)])
            cleared = storage.begin(lambda: past.clear(connection))
            storage.until_blocked(past.pid(connection), by=worker.pid)
            assert ids(worker.claim()) == [today]
        with contextlib.suppress(OperationalError):
            cleared.result(10)
            connection.commit()
    assert storage.state(job.id) == "FAILED"
    assert storage.database.deadlocks() == 0


def test_a_clearing_yields_to_the_holder_of_a_lock(past: PastDay, impatient: Storage) -> None:
    past.finished(2)
    holder = past.storage.session()
    holder.cursor().execute(f"SELECT count(*) FROM jobs_{past.period.suffix}")
    with pytest.raises(OperationalError), impatient.engine.begin() as connection:
        past.clear(connection)
    holder.rollback()
    assert past.clear_and_commit() == 0
