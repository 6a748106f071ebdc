"""Jobs that are kept for a time of their own, and who crosses their removal."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from integration.store.support.past_jobs import HOUR_S, MOST, ended_ago, look, retry, retrying
from integration.store.support.storage import Storage
from rig.system import until

from common.domain.job import NewJob, Options
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import reads
from common.store.retention import by_row, keys, per_job
from common.store.schema.partitions import TABLES


def kept(storage: Storage, keep_s: int = HOUR_S, count: int = 1, **options: object) -> list[str]:
    """Store jobs of now that ask to be kept for so long."""
    new = [NewJob(job.id, job.operation, job.queue, job.input, 3, None, options=Options(keep_s=keep_s, **options)) for job in storage.new(count)]  # type: ignore[arg-type]  # any option
    return storage.store(sorted(new, key=lambda job: job.id))


def ended(storage: Storage, keep_s: int = HOUR_S, count: int = 1, ago_s: float = HOUR_S + 1) -> list[str]:
    """Store and run jobs; their ends are moved back."""
    jobs, claimer = kept(storage, keep_s, count), storage.claimer()
    assert claimer.settle(claimer.claim()) == set(jobs)
    ended_ago(storage, ago_s)
    return jobs


def looked_at_in_s(storage: Storage) -> float:
    return float(storage.one("SELECT extract(epoch FROM at - clock_timestamp()) FROM expiries"))


def rows_of(storage: Storage, job: str) -> dict[str, int]:
    tables = (*TABLES, "live", "reruns", "deadlines", "expiries")
    return {table: count for table in tables if (count := storage.one(f"SELECT count(*) FROM {table} WHERE id = %s", (job,)))}


# --- jobs with a time of their own


def test_a_plain_submission_writes_no_row_of_expiries_and_one_with_a_time_does(storage: Storage) -> None:
    storage.submit(3)
    assert storage.rows("SELECT * FROM expiries") == []
    kept(storage, 800)
    assert 800 + 58 < looked_at_in_s(storage) < 800 + 61, "most jobs end within a minute, and are then looked at once"


def test_a_job_goes_once_its_time_after_its_end_is_over_with_all_that_is_its_own(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = kept(storage, tags=("a", "b"), deadline=datetime.now(UTC) + timedelta(hours=1))
    claimer = storage.claimer()
    claimer.settle(claimer.claim())
    storage.rows("INSERT INTO reruns (id, epoch) VALUES (%s, 1)", (job,))
    storage.rows("INSERT INTO attempts SELECT id, 0, 0, 1, now(), now(), now(), 'error', 'E', 'e' FROM outcomes")
    other = ended(storage, ago_s=HOUR_S - 5)[0]
    storage.rows("UPDATE outcomes SET finished_at = clock_timestamp() - interval '1 hour 1 s' WHERE id = %s", (job,))
    assert rows_of(storage, job) == {"jobs": 1, "outcomes": 1, "attempts": 1, "tags": 2, "reruns": 1, "deadlines": 1, "expiries": 1}
    assert look(connection, storage) == (2, 1)
    assert rows_of(storage, job) == {}
    assert storage.state(other) == "SUCCESS"
    assert 0 < looked_at_in_s(storage) <= 5
    assert per_job.delete_expired(connection, MOST) == (0, 0), "it is looked at when its time is over"


def test_a_job_that_is_not_finished_is_looked_at_ever_more_rarely(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = kept(storage, 10)
    assert look(connection, storage) == (1, 0)
    assert 9 < looked_at_in_s(storage) <= 10, "it cannot be over before"
    storage.rows("UPDATE jobs SET created_at = created_at - interval '80 days'")
    assert look(connection, storage) == (1, 0)
    assert 9.9 < looked_at_in_s(storage) / 86_400 < 10.1
    assert storage.state(job) == "PENDING"


def test_a_row_whose_job_is_not_there_goes(storage: Storage, connection: WorkerConnection) -> None:
    storage.rows("INSERT INTO expiries VALUES (uuidv7(), now())")
    assert per_job.delete_expired(connection, MOST) == (1, 0)
    assert storage.rows("SELECT * FROM expiries") == []


def test_no_more_are_looked_at_than_asked_for_those_first_whose_time_was_over_first(storage: Storage, connection: WorkerConnection) -> None:
    jobs = ended(storage, count=5)
    storage.rows("UPDATE expiries SET at = now() - (SELECT count(*) FROM expiries e WHERE e.id > expiries.id) * interval '1 s'")
    assert per_job.delete_expired(connection, 3) == (3, 3)
    assert [storage.state(job) for job in jobs] == [None, None, None, "SUCCESS", "SUCCESS"]


def test_keys_of_a_removed_job_an_idempotency_key_stays_for_its_time_and_a_unique_key_is_free(storage: Storage, connection: WorkerConnection) -> None:
    """The request must not run a second time because its job was not to be kept."""
    (job,) = ended(storage)
    storage.rows("INSERT INTO keys (key, until, ids, digest) VALUES ('k', now() + interval '1 day', ARRAY[%s::uuid], '')", (job,))
    storage.rows("INSERT INTO uniq (key, id) VALUES ('u', %s)", (str(id_in_past(job)),))
    assert look(connection, storage) == (1, 1)
    with storage.engine.begin() as sqlalchemy_connection:
        assert keys.delete_expired(sqlalchemy_connection) == 1
    assert (storage.one("SELECT count(*) FROM keys"), storage.one("SELECT count(*) FROM uniq")) == (1, 0)


def id_in_past(job: str) -> UUID:
    """Return the id of a job made two minutes before another one: keys of new jobs are left alone."""
    return UUID(int=UUID(job).int - (120_000 << 80))


# --- races


def test_expiry_leaves_a_job_that_is_being_retried_and_the_retry_stands(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = ended(storage)
    session = retrying(storage, job)
    assert look(connection, storage) == (1, 0), "it waits for nobody"
    assert retry(session, job)
    assert look(connection, storage) == (1, 0)
    assert storage.state(job) == "PENDING"
    assert HOUR_S - 1 < looked_at_in_s(storage) <= HOUR_S
    claimer = storage.claimer()
    assert claimer.settle(claimer.claim()) == {job}
    assert look(connection, storage) == (1, 0), "its time begins with its last end"
    ended_ago(storage, HOUR_S + 1)
    assert look(connection, storage) == (1, 1)


@pytest.mark.parametrize("finished_again", [False, True])
def test_a_job_that_is_retried_after_its_row_was_looked_at_stays(storage: Storage, connection: WorkerConnection, finished_again: bool) -> None:
    """The retry commits between the look and the lock."""
    (job,) = ended(storage)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    with connection.transaction():
        looked = connection.run(per_job.CHECK_DUE, (MOST,))
        assert looked == [(job, 0)]
        assert retry(storage.session(), job)
        if finished_again:
            claimer = storage.claimer()
            assert claimer.settle(claimer.claim()) == {job}
        assert by_row.delete_jobs(connection, [(job, 0)]) == 0
    assert storage.state(job) == ("SUCCESS" if finished_again else "PENDING")
    assert storage.one("SELECT count(*) FROM expiries") == 1


def test_a_retry_that_waits_for_a_removal_finds_no_job(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = ended(storage)
    session = storage.session()
    with connection.transaction():
        storage.rows("UPDATE expiries SET at = clock_timestamp()")
        assert by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (MOST,))]) == 1
        retried = storage.begin(lambda: retry(session, job))
        storage.until_blocked(session.info.backend_pid, by=connection.driver_connection.info.backend_pid)
    assert retried.result(10) is False
    assert rows_of(storage, job) == {}


def test_two_controllers_at_once_remove_each_job_once_and_wait_for_nobody(storage: Storage, connection: WorkerConnection) -> None:
    ended(storage, count=6)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    other = storage.connection()
    with connection.transaction():
        looked = connection.run(per_job.CHECK_DUE, (3,))
        assert by_row.delete_jobs(connection, [(row[0], row[1]) for row in looked]) == 3
        assert per_job.delete_expired(other, MOST) == (3, 3)
    assert storage.one("SELECT count(*) FROM jobs") == storage.one("SELECT count(*) FROM expiries") == 0
    assert storage.database.deadlocks() == 0


def test_a_reader_during_a_removal_sees_the_whole_job_and_after_it_none(storage: Storage, connection: WorkerConnection) -> None:
    (job,) = ended(storage)
    with connection.transaction():
        storage.rows("UPDATE expiries SET at = clock_timestamp()")
        assert by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (MOST,))]) == 1
        assert (storage.api(lambda api: reads.job(api, UUID(job))) or {})["result"] == "14.0"
    assert storage.api(lambda api: reads.job(api, UUID(job))) is None


def test_a_submission_with_the_id_of_a_job_that_is_removed_meanwhile_is_as_if_it_came_after(storage: Storage, connection: WorkerConnection) -> None:
    """Who repeats a submission long after waits for the removal, and its job is new."""
    (new,) = storage.new()
    ended_ = kept(storage)
    claimer = storage.claimer()
    claimer.settle(claimer.claim())
    again = NewJob(UUID(ended_[0]), new.operation, new.queue, new.input, 3, None)
    ended_ago(storage, HOUR_S + 1)
    storage.rows("UPDATE expiries SET at = clock_timestamp()")
    with connection.transaction():
        assert by_row.delete_jobs(connection, [(row[0], row[1]) for row in connection.run(per_job.CHECK_DUE, (MOST,))]) == 1
        stored = storage.begin(lambda: storage.store([again]))
        until("it waits", lambda: storage.one("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"))
    assert stored.result(10) == ended_
    assert storage.state(ended_[0]) == "PENDING"
