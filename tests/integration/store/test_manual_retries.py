"""Manual retries: each begins one new run of a job, beside other changes of the job."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from integration.store.support.clients import ENDINGS, Client, cancelled_job, end_attempts
from integration.store.support.storage import ERROR, Storage, id_in, ids, old_period, retry_after
from sqlalchemy import Connection

from common.domain.decisions import WORKER_LOST, Fail, Retry
from common.domain.errors import InputRemoved, StoreUnavailable
from common.domain.job import NewJob
from common.domain.states import State
from common.settings import Pooler
from common.store.jobs import failures, reads
from common.store.jobs.cancel_retry import ManualRetry
from common.store.retention import by_partition
from common.store.retention.by_partition import RetentionDays


@pytest.mark.parametrize("new_input", [None, '{"data":[7, 8]}'])
def test_a_manual_retry_begins_a_new_run_and_keeps_the_history(
    storage: Storage, client: Client, new_input: str | None
) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(max_attempts=2)
    claimer.write(claimer.claim(), retry_after(0))
    claimer.write(claimer.claim(), Fail(ERROR))
    before = storage.value("SELECT rev FROM job_states")
    assert client.retry(job_id, new_input).result(10) == ManualRetry("default", 1, State.FAILED)
    assert storage.rows("SELECT status, run, attempt, rev, result FROM job_states") == [
        ("PENDING", 1, 0, before + 1, None)
    ]
    assert storage.rows("SELECT run, input::text FROM runs") == [(1, new_input)]
    (job,) = claimer.claim()
    assert (job.id, job.attempt, job.charged, job.max_attempts, job.input) == (
        job_id,
        1,
        1,
        2,
        new_input or '{"data":[1,2,3]}',
    )
    claimer.settle([job])
    record = client.start(reads.job(client.connection, 1, UUID(job_id))).result(10)
    assert record is not None
    history = reads.ended_attempts(record)
    assert [(attempt["run"], attempt["attempt"], attempt["outcome"]) for attempt in history] == [
        (0, 1, "error"),
        (0, 2, "failed"),
        (1, 1, "success"),
    ]
    assert (record["status"], record["run"], record["attempt"], record["input"]) == (
        "SUCCESS",
        1,
        1,
        '{"data":[1,2,3]}',
    )
    assert storage.value("SELECT input::text FROM jobs") == '{"data":[1,2,3]}'


def test_a_later_retry_without_an_input_has_the_newest_one(storage: Storage, client: Client) -> None:
    job_id, claimer = cancelled_job(storage, client), storage.claimer()
    inputs: list[str | None] = []
    for new_input in (None, '{"data":[2]}', None, None, '{"data":[3]}', None):
        retry = client.retry(job_id, new_input).result(10)
        assert retry is not None and retry.run == len(inputs) + 1
        (job,) = claimer.claim()
        inputs.append(job.input)
        claimer.write([job], Fail(ERROR))
    assert inputs == [
        '{"data":[1,2,3]}',
        '{"data":[2]}',
        '{"data":[2]}',
        '{"data":[2]}',
        '{"data":[3]}',
        '{"data":[3]}',
    ]


@pytest.mark.parametrize("state", ["PENDING", "SCHEDULED", "IN_PROGRESS", "RETRYING", "SUCCESS"])
def test_only_failed_and_cancelled_jobs_are_retried(storage: Storage, client: Client, state: str) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    if state == "SCHEDULED":
        storage.rows("UPDATE live SET claimable_at = claimable_at + interval '1 hour'")
    elif state != "PENDING":
        jobs = claimer.claim()
        if state == "RETRYING":
            claimer.write(jobs, retry_after(60))
        elif state == "SUCCESS":
            claimer.settle(jobs)
    before = storage.rows("SELECT * FROM live")
    assert client.retry(job_id, "{}").result(10) == ManualRetry("default", None, State(state))
    assert storage.rows("SELECT * FROM live") == before
    assert storage.value("SELECT count(*) FROM runs") == 0


def test_of_two_retries_at_once_one_begins_a_run(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    job_id, claimer = cancelled_job(storage, first), storage.claimer()
    first.begin()
    retry = first.retry(job_id).result(10)
    assert retry is not None and retry.run == 1
    answer = second.retry(job_id, "{}")
    storage.until_blocked(second.pid, by=first.pid)
    first.end()
    assert answer.result(10) == ManualRetry("default", None, State.PENDING)
    assert storage.rows("SELECT run FROM live") == [(1,)]
    assert storage.value("SELECT count(*) FROM runs") == 1
    assert ids(claimer.claim()) == [job_id]


def test_a_second_retry_waits_for_no_claim_and_then_finds_the_job_running(
    storage: Storage, clients: tuple[Client, Client]
) -> None:
    first, second = clients
    job_id, claimer = cancelled_job(storage, first), storage.claimer()
    first.retry(job_id).result(10)
    claimer.connection._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    assert second.retry(job_id).result(10) == ManualRetry("default", None, State.PENDING), (
        "the retry does not wait for the claim"
    )
    claimer.connection._cursor.execute("COMMIT")
    assert second.retry(job_id).result(10) == ManualRetry("default", None, State.IN_PROGRESS)


def test_a_retry_beside_an_uncommitted_settle_begins_no_run_twice(storage: Storage, client: Client) -> None:
    """Its snapshot has only the old run's outcome, and the new run's row is deleted before it inserts."""
    job_id, claimer = cancelled_job(storage, client), storage.claimer()
    client.retry(job_id).result(10)
    (job,) = claimer.claim()
    claimer.connection._cursor.execute("BEGIN")
    end_attempts(claimer, [job], "fail")
    assert client.retry(job_id).result(10) == ManualRetry("default", None, State.IN_PROGRESS)
    claimer.connection._cursor.execute("COMMIT")
    assert client.retry(job_id).result(10) == ManualRetry("default", 2, State.FAILED)


def test_a_retry_beside_an_uncommitted_cancel_finds_the_job_waiting(
    storage: Storage, clients: tuple[Client, Client]
) -> None:
    first, second = clients
    (job_id,) = storage.submit()
    first.begin()
    first.cancel(job_id).result(10)
    assert second.retry(job_id).result(10) == ManualRetry("default", None, State.PENDING)
    first.end()
    assert second.retry(job_id).result(10) == ManualRetry("default", 1, State.CANCELLED)
    assert first.cancel(job_id).result(10) is State.CANCELLED
    assert storage.rows("SELECT run, status FROM outcomes ORDER BY run") == [(0, "CANCELLED"), (1, "CANCELLED")]


def test_a_late_end_of_a_run_does_not_change_the_next_run(storage: Storage, client: Client) -> None:
    """The process seemed crashed. Its job was cancelled, retried, and runs in an attempt of the same number."""
    slow, other = storage.claimer(), storage.claimer()
    (job_id,) = storage.submit()
    (late,) = slow.claim()
    client.cancel(job_id).result(10)
    with other.connection.transaction():
        failures.write_decisions(other.connection, slow.id, [(late, Retry(WORKER_LOST, 0))])
    client.retry(job_id).result(10)
    (job,) = other.claim()
    assert (job.attempt, late.attempt) == (1, 1)
    before = storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")
    for ending in ENDINGS:
        with slow.connection.transaction():
            end_attempts(slow, [late], ending)
    assert (storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")) == before
    assert other.settle([job]) == {job_id}


def test_a_retry_needs_the_operation_version_that_checked_its_input(storage: Storage, client: Client) -> None:
    job_id = cancelled_job(storage, client)
    storage.rows("UPDATE operations SET version = 3 WHERE name = 'square_sum'")
    needs = []
    for new_input in (None, "{}", None):
        client.retry(job_id, new_input).result(10)
        needs.append(storage.value("SELECT needs FROM live"))
        client.cancel(job_id).result(10)
    assert needs == ["square_sum", "square_sum@3", "square_sum@3"]


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_response_is_lost_is_not_repeated(
    storage: Storage, client: Client, monkeypatch: pytest.MonkeyPatch, commits: bool
) -> None:
    if storage.settings.database_pooler is Pooler.TRANSACTION:
        pytest.skip("the pooler ends the transaction of a client that has gone")
    job_id = cancelled_job(storage, client)
    commit = getattr(asyncpg.transaction.Transaction, "_Transaction__commit")  # noqa: B009 - a name that is private to its class

    async def commit_and_disconnect(self: Any) -> None:
        if commits:
            await commit(self)
        raise ConnectionResetError

    monkeypatch.setattr(asyncpg.transaction.Transaction, "_Transaction__commit", commit_and_disconnect)
    with pytest.raises(StoreUnavailable):
        client.retry(job_id).result(10)
    assert storage.value("SELECT count(*) FROM runs") == int(commits)


class OldJob:
    """A cancelled job past retention, the only one of its day."""

    def __init__(self, storage: Storage, client: Client) -> None:
        self.storage = storage
        self.period = old_period(storage, 10)
        (self.job_id,) = storage.store(
            [NewJob(id_in(self.period, 1), "square_sum", "default", '{"data":[1]}', 3, None)]
        )
        client.cancel(self.job_id).result(10)
        storage.rows("UPDATE outcomes SET finished_at = now() - interval '9 days'")

    def clear(self, connection: Connection) -> int:
        return by_partition.clear_partition(
            connection, self.period, by_partition.removable_periods(connection, RetentionDays(7, 7, 7))[0]
        )

    def pid(self, connection: Connection) -> int:
        driver = connection.connection.driver_connection
        assert driver is not None
        return int(driver.info.backend_pid)


def test_retention_keeps_a_job_with_an_uncommitted_retry_and_its_history(storage: Storage, client: Client) -> None:
    old = OldJob(storage, client)
    storage.store([NewJob(id_in(old.period, 2), "square_sum", "default", "{}", 3, None)])
    storage.rows("DELETE FROM live WHERE id <> %s", (old.job_id,))
    client.begin()
    assert client.retry(old.job_id, '{"data":[9]}').result(10) == ManualRetry("default", 1, State.CANCELLED)
    with storage.engine.connect() as connection:
        cleared = storage.begin(lambda: old.clear(connection))
        storage.until_blocked(old.pid(connection), by=client.pid)
        client.end()
        assert cleared.result(10) == 1
        connection.commit()
    assert [(job.id, job.input) for job in storage.claimer().claim()] == [(old.job_id, '{"data":[9]}')]
    assert storage.rows("SELECT status FROM outcomes") == [("CANCELLED",)]
    assert storage.value("SELECT count(*) FROM jobs") == 1


def test_a_retry_that_waits_for_retention_finds_no_job_and_its_earlier_input_is_deleted(
    storage: Storage, client: Client
) -> None:
    old, stays = OldJob(storage, client), cancelled_job(storage, client)
    for job_id in (old.job_id, stays):
        storage.rows("INSERT INTO runs (id, run, input) VALUES (%s, 1, '{}')", (job_id,))
    with storage.engine.connect() as connection:
        assert old.clear(connection) == 0
        answer = client.retry(old.job_id)
        storage.until_blocked(client.pid, by=old.pid(connection))
        connection.commit()
    assert answer.result(10) is None
    with storage.engine.begin() as connection:
        assert by_partition.delete_orphans(connection, old.period) is False
    assert storage.value("SELECT count(*) FROM live") == 0
    assert storage.rows("SELECT id::text FROM runs") == [(stays,)]


@pytest.mark.parametrize("ended", ["CANCELLED", "SUCCESS"])
def test_a_retry_of_a_job_without_input_needs_a_new_one(storage: Storage, client: Client, ended: str) -> None:
    """The new input serves later retries too, until it is deleted."""
    job_id, claimer = cancelled_job(storage, client), storage.claimer()
    storage.rows("UPDATE jobs SET input = NULL")
    if ended == "SUCCESS":
        storage.rows("UPDATE outcomes SET status = 'SUCCESS', result = '1'")
        assert client.retry(job_id).result(10) == ManualRetry("default", None, State.SUCCESS)
        return
    assert isinstance(client.retry(job_id).exception(10), InputRemoved)
    assert storage.state(job_id) == "CANCELLED"
    for new_input in ('{"data":[7]}', None):
        assert client.retry(job_id, new_input).result(10) is not None
        (job,) = claimer.claim()
        assert job.input == '{"data":[7]}'
        claimer.write([job], Fail(ERROR))
    storage.rows("UPDATE runs SET input = NULL")
    assert isinstance(client.retry(job_id).exception(10), InputRemoved)
