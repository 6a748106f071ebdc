"""Explicit retry: a new epoch of a job, and only one, beside whatever else happens to it."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from integration.store.support.clients import ENDS, Client, cancelled, end
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


@pytest.mark.parametrize("given", [None, '{"data":[7, 8]}'])
def test_a_retry_is_a_new_epoch_and_all_of_before_stays(storage: Storage, client: Client, given: str | None) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(max_attempts=2)
    claimer.write(claimer.claim(), retry_after(0))
    claimer.write(claimer.claim(), Fail(ERROR))
    before = storage.one("SELECT rev FROM job_states")
    assert client.rerun(job_id, given).result(10) == ManualRetry("default", 1, State.FAILED)
    assert storage.rows("SELECT status, epoch, attempt, rev, result FROM job_states") == [("PENDING", 1, 0, before + 1, None)]
    assert storage.rows("SELECT epoch, input::text FROM reruns") == [(1, given)]
    (job,) = claimer.claim()
    assert (job.id, job.attempt, job.charged, job.max_attempts, job.input) == (job_id, 1, 1, 2, given or '{"data":[1,2,3]}')
    claimer.settle([job])
    shown = client.do(reads.job(client.connection, UUID(job_id))).result(10)
    assert shown is not None
    history = reads.ended_attempts(shown)
    assert [(one["epoch"], one["attempt"], one["ended"]) for one in history] == [(0, 1, "error"), (0, 2, "failed"), (1, 1, "success")]
    assert (shown["status"], shown["epoch"], shown["attempt"], shown["input"]) == ("SUCCESS", 1, 1, '{"data":[1,2,3]}')
    assert storage.one("SELECT input::text FROM jobs") == '{"data":[1,2,3]}'


def test_a_later_retry_has_the_newest_input_unless_it_brings_one(storage: Storage, client: Client) -> None:
    job_id, claimer = cancelled(storage, client), storage.claimer()
    inputs: list[str | None] = []
    for given in (None, '{"data":[2]}', None, None, '{"data":[3]}', None):
        made = client.rerun(job_id, given).result(10)
        assert made is not None and made.epoch == len(inputs) + 1
        (job,) = claimer.claim()
        inputs.append(job.input)
        claimer.write([job], Fail(ERROR))
    assert inputs == ['{"data":[1,2,3]}', '{"data":[2]}', '{"data":[2]}', '{"data":[2]}', '{"data":[3]}', '{"data":[3]}']


@pytest.mark.parametrize("state", ["PENDING", "SCHEDULED", "IN_PROGRESS", "RETRYING", "SUCCESS"])
def test_only_what_has_failed_or_was_cancelled_is_retried(storage: Storage, client: Client, state: str) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit()
    if state == "SCHEDULED":
        storage.rows("UPDATE live SET pos = pos + interval '1 hour'")
    elif state != "PENDING":
        jobs = claimer.claim()
        if state == "RETRYING":
            claimer.write(jobs, retry_after(60))
        elif state == "SUCCESS":
            claimer.settle(jobs)
    before = storage.rows("SELECT * FROM live")
    assert client.rerun(job_id, "{}").result(10) == ManualRetry("default", None, State(state))
    assert storage.rows("SELECT * FROM live") == before
    assert storage.one("SELECT count(*) FROM reruns") == 0


def test_of_two_retries_at_once_one_is_made(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    job_id, claimer = cancelled(storage, first), storage.claimer()
    first.begin()
    made = first.rerun(job_id).result(10)
    assert made is not None and made.epoch == 1
    answer = second.rerun(job_id, "{}")
    storage.until_blocked(second.pid, by=first.pid)
    first.end()
    assert answer.result(10) == ManualRetry("default", None, State.PENDING)
    assert storage.rows("SELECT epoch FROM live") == [(1,)]
    assert storage.one("SELECT count(*) FROM reruns") == 1
    assert ids(claimer.claim()) == [job_id]


def test_a_retry_that_comes_after_the_first_one_is_claimed_finds_it_running(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    job_id, claimer = cancelled(storage, first), storage.claimer()
    first.rerun(job_id).result(10)
    claimer.connection._cursor.execute("BEGIN")
    assert ids(claimer.claim()) == [job_id]
    assert second.rerun(job_id).result(10) == ManualRetry("default", None, State.PENDING), "it waits for no claim"
    claimer.connection._cursor.execute("COMMIT")
    assert second.rerun(job_id).result(10) == ManualRetry("default", None, State.IN_PROGRESS)


def test_a_retry_beside_a_settle_that_has_not_committed_makes_no_epoch_twice(storage: Storage, client: Client) -> None:
    """Its snapshot has the old epoch's outcome alone, and by the time it inserts the row of the new one is gone."""
    job_id, claimer = cancelled(storage, client), storage.claimer()
    client.rerun(job_id).result(10)
    (job,) = claimer.claim()
    claimer.connection._cursor.execute("BEGIN")
    end(claimer, [job], "fail")
    assert client.rerun(job_id).result(10) == ManualRetry("default", None, State.IN_PROGRESS)
    claimer.connection._cursor.execute("COMMIT")
    assert client.rerun(job_id).result(10) == ManualRetry("default", 2, State.FAILED)


def test_a_retry_beside_a_cancel_that_has_not_committed_finds_the_job_waiting(storage: Storage, clients: tuple[Client, Client]) -> None:
    first, second = clients
    (job_id,) = storage.submit()
    first.begin()
    first.cancel(job_id).result(10)
    assert second.rerun(job_id).result(10) == ManualRetry("default", None, State.PENDING)
    first.end()
    assert second.rerun(job_id).result(10) == ManualRetry("default", 1, State.CANCELLED)
    assert first.cancel(job_id).result(10) is State.CANCELLED
    assert storage.rows("SELECT epoch, status FROM outcomes ORDER BY epoch") == [(0, "CANCELLED"), (1, "CANCELLED")]


def test_a_late_end_of_an_epoch_changes_nothing_of_the_next_one(storage: Storage, client: Client) -> None:
    """The process was taken for dead, its job was cancelled and retried, and another has it in its first attempt, as the old one had."""
    slow, other = storage.claimer(), storage.claimer()
    (job_id,) = storage.submit()
    (late,) = slow.claim()
    client.cancel(job_id).result(10)
    with other.connection.transaction():
        failures.write_decisions(other.connection, slow.id, [(late, Retry(WORKER_LOST, 0))])
    client.rerun(job_id).result(10)
    (job,) = other.claim()
    assert (job.attempt, late.attempt) == (1, 1)
    before = storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")
    for how in ENDS:
        with slow.connection.transaction():
            end(slow, [late], how)
    assert (storage.rows("SELECT * FROM live"), storage.rows("SELECT * FROM outcomes")) == before
    assert other.settle([job]) == {job_id}


def test_a_retry_needs_the_version_that_its_input_was_checked_by(storage: Storage, client: Client) -> None:
    job_id = cancelled(storage, client)
    storage.rows("UPDATE operations SET version = 3 WHERE name = 'square_sum'")
    needs = []
    for given in (None, "{}", None):
        client.rerun(job_id, given).result(10)
        needs.append(storage.one("SELECT needs FROM live"))
        client.cancel(job_id).result(10)
    assert needs == ["square_sum", "square_sum@3", "square_sum@3"]


@pytest.mark.parametrize("commits", [True, False])
def test_a_commit_whose_answer_is_lost_is_not_made_again(storage: Storage, client: Client, monkeypatch: pytest.MonkeyPatch, commits: bool) -> None:
    if storage.settings.database_pooler is Pooler.TRANSACTION:
        pytest.skip("the pooler ends the transaction of a client that has gone")
    job_id = cancelled(storage, client)
    real = getattr(asyncpg.transaction.Transaction, "_Transaction__commit")  # noqa: B009 - a name of its class's own

    async def lost(self: Any) -> None:
        if commits:
            await real(self)
        raise ConnectionResetError

    monkeypatch.setattr(asyncpg.transaction.Transaction, "_Transaction__commit", lost)
    with pytest.raises(StoreUnavailable):
        client.rerun(job_id).result(10)
    assert storage.one("SELECT count(*) FROM reruns") == int(commits)


class Old:
    """A job past retention that was cancelled, in a day of its own."""

    def __init__(self, storage: Storage, client: Client) -> None:
        self.storage = storage
        self.period = old_period(storage, 10)
        (self.job_id,) = storage.store([NewJob(id_in(self.period, 1), "square_sum", "default", '{"data":[1]}', 3, None)])
        client.cancel(self.job_id).result(10)
        storage.rows("UPDATE outcomes SET finished_at = now() - interval '9 days'")

    def clear(self, connection: Connection) -> int:
        return by_partition.clear_partition(connection, self.period, by_partition.removable_periods(connection, RetentionDays(7, 7, 7))[0])

    def pid(self, connection: Connection) -> int:
        driver = connection.connection.driver_connection
        assert driver is not None
        return int(driver.info.backend_pid)


def test_a_retry_under_way_is_kept_by_retention_with_its_history(storage: Storage, client: Client) -> None:
    old = Old(storage, client)
    storage.store([NewJob(id_in(old.period, 2), "square_sum", "default", "{}", 3, None)])
    storage.rows("DELETE FROM live WHERE id <> %s", (old.job_id,))
    client.begin()
    assert client.rerun(old.job_id, '{"data":[9]}').result(10) == ManualRetry("default", 1, State.CANCELLED)
    with storage.engine.connect() as connection:
        removed = storage.begin(lambda: old.clear(connection))
        storage.until_blocked(old.pid(connection), by=client.pid)
        client.end()
        assert removed.result(10) == 1
        connection.commit()
    assert [(job.id, job.input) for job in storage.claimer().claim()] == [(old.job_id, '{"data":[9]}')]
    assert storage.rows("SELECT status FROM outcomes") == [("CANCELLED",)]
    assert storage.one("SELECT count(*) FROM jobs") == 1


def test_a_retry_waits_for_retention_and_finds_nothing_and_what_was_brought_before_is_gone(storage: Storage, client: Client) -> None:
    old, stays = Old(storage, client), cancelled(storage, client)
    for job_id in (old.job_id, stays):
        storage.rows("INSERT INTO reruns (id, epoch, input) VALUES (%s, 1, '{}')", (job_id,))
    with storage.engine.connect() as connection:
        assert old.clear(connection) == 0
        answer = client.rerun(old.job_id)
        storage.until_blocked(client.pid, by=old.pid(connection))
        connection.commit()
    assert answer.result(10) is None
    with storage.engine.begin() as connection:
        assert by_partition.delete_orphans(connection, old.period) is False
    assert storage.one("SELECT count(*) FROM live") == 0
    assert storage.rows("SELECT id::text FROM reruns") == [(stays,)]


@pytest.mark.parametrize("ended", ["CANCELLED", "SUCCESS"])
def test_a_retry_of_a_job_whose_input_was_removed_needs_one(storage: Storage, client: Client, ended: str) -> None:
    """And what it brought is there for the next one, until that is removed too."""
    job_id, claimer = cancelled(storage, client), storage.claimer()
    storage.rows("UPDATE jobs SET input = NULL")
    if ended == "SUCCESS":
        storage.rows("UPDATE outcomes SET status = 'SUCCESS', result = '1'")
        assert client.rerun(job_id).result(10) == ManualRetry("default", None, State.SUCCESS)
        return
    assert isinstance(client.rerun(job_id).exception(10), InputRemoved)
    assert storage.state(job_id) == "CANCELLED"
    for given in ('{"data":[7]}', None):
        assert client.rerun(job_id, given).result(10) is not None
        (job,) = claimer.claim()
        assert job.input == '{"data":[7]}'
        claimer.write([job], Fail(ERROR))
    storage.rows("UPDATE reruns SET input = NULL")
    assert isinstance(client.rerun(job_id).exception(10), InputRemoved)
