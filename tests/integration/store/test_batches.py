"""Batches in the store: races of their ends with retries and late jobs, their places, and what retention leaves."""

import secrets
import time
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from integration.store.support.cancel_retry import an_entry, retried
from integration.store.support.past_jobs import delete_expired, set_finished_ago
from integration.store.support.storage import Storage

from common.domain.batches import NewBatch, batch_job_id, new_batch_id
from common.domain.errors import BatchClosed, BatchFull, BatchNotFound
from common.domain.job import NewJob, Options, new_job_id
from common.domain.tenancy.audit import AuditAction
from common.store.batches import changes, ends, reads, submission
from common.store.batches.sql import NEAR
from common.store.batches.submission import AddedJobs
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import keyed_insert

FOLLOW_UP = NewJob(UUID(int=0), "cube_sum", "default", '{"data":[1]}', 3, None)


class Batch:
    """An open batch in the store."""

    def __init__(self, storage: Storage, **options: Any) -> None:
        """`options`: those of its jobs."""
        self.storage = storage
        self.options = Options(**options) if options else None
        self.id = new_batch_id(time.time_ns() // 1_000_000, secrets.randbits(42))
        new = NewBatch(self.id, 1, None, closed=False, follow_up=FOLLOW_UP)
        storage.api(lambda connection: submission.insert_batch(connection, new))

    def reserve(self, count: int, limit: int = 1_000_000) -> list[NewJob]:
        """Return jobs with the next numbers, not stored."""
        first = self.storage.api(lambda c: submission.reserve_numbers(c, 1, self.id, count, limit))
        return [
            replace(job, id=batch_job_id(self.id, first + n), options=self.options)
            for n, job in enumerate(self.storage.new(count))
        ]

    def store(self, jobs: list[NewJob]) -> list[str]:
        added = AddedJobs(self.id, 1)
        self.storage.api(lambda c: keyed_insert.insert_keyed(c, jobs, None, tenant=1, batch=added))
        return [str(job.id) for job in jobs]

    def add(self, count: int) -> list[str]:
        return self.store(self.reserve(count))

    def close(self) -> None:
        async def work(connection: asyncpg.Connection) -> None:
            entry = an_entry(AuditAction.BATCH_CLOSE, self.id)
            await changes.close(connection, 1, self.id, entry, new_job_id(time.time_ns() // 1_000_000, 1))

        self.storage.api(work)

    def read(self) -> reads.Record:
        row = self.storage.api(lambda connection: reads.read(connection, 1, self.id))
        assert row is not None
        return row

    def end(self, connection: WorkerConnection) -> bool:
        new_id = new_job_id(time.time_ns() // 1_000_000, secrets.randbits(74))
        return ends.end(connection, str(self.id), str(new_id)) is not None

    def follow_ups(self) -> int:
        return int(self.storage.value("SELECT count(*) FROM jobs WHERE operation = 'cube_sum'"))

    def place(self) -> int:
        return (
            UUID(str(self.storage.value("SELECT place FROM batches WHERE id = %s", (str(self.id),)))).int - self.id.int
        )


def run(storage: Storage, connection: WorkerConnection) -> None:
    """Run all due jobs, then move the places of batches as a tick does."""
    claimer = storage.claimer()
    while jobs := claimer.claim():
        claimer.settle(jobs)
    _, moved, _ = ends.look(connection, ends.NO_BATCH, 100)
    ends.move_places(connection, moved)


def fail(storage: Storage, job_id: str) -> None:
    """Turn the success of a job into a failure."""
    storage.rows(
        "UPDATE outcomes SET status = 'FAILED', result = NULL, error_type = 'x', error_text = 'x' WHERE id = %s",
        (job_id,),
    )


def test_a_retry_that_is_not_committed_keeps_a_batch_from_its_end(
    storage: Storage, connection: WorkerConnection
) -> None:
    batch = Batch(storage)
    (job,) = batch.add(1)
    batch.close()
    run(storage, connection)
    fail(storage, job)

    async def work(api: asyncpg.Connection) -> None:
        async with api.transaction():
            await retried(api, job, None)
            assert not batch.end(connection), "the row is locked"
        assert not batch.end(connection), "a job is live"

    storage.api(work)
    assert batch.follow_ups() == 0
    run(storage, connection)
    assert batch.end(connection)
    assert batch.follow_ups() == 1


def test_an_end_that_is_not_committed_comes_before_a_retry(storage: Storage, connection: WorkerConnection) -> None:
    batch = Batch(storage)
    (job,) = batch.add(1)
    batch.close()
    run(storage, connection)
    fail(storage, job)
    with connection.transaction():
        connection.run(ends.LOCK, ("{" + str(batch.id) + "}",))
        assert connection.run(ends.HAS_LIVE, (str(batch.id),)) == [(False,)]
        retry = storage.begin(lambda: storage.api(lambda api: retried(api, job, None)))
        connection.run(ends.END_ONE, (str(batch.id), str(new_job_id(time.time_ns() // 1_000_000, 1))))
    assert retry.result(10) is not None
    row = batch.read()
    assert (row["unfinished"], row["failed"], row["ended_at"] is not None) == (1, 0, True)
    run(storage, connection)
    assert batch.end(connection)
    assert batch.follow_ups() == 1
    assert batch.read()["failed"] == 0


def test_jobs_with_lower_numbers_that_are_stored_later_put_the_place_back(
    storage: Storage, connection: WorkerConnection
) -> None:
    batch = Batch(storage)
    late = batch.reserve(5)
    batch.add(5)
    claimer = storage.claimer()
    claimer.settle(claimer.claim(3))
    _, moved, _ = ends.look(connection, ends.NO_BATCH, 100)
    ends.move_places(connection, moved)
    assert batch.place() == 9
    batch.store(late)
    assert batch.place() == 1
    assert (batch.read()["jobs"], batch.read()["unfinished"]) == (10, 7)
    batch.close()
    run(storage, connection)
    assert batch.end(connection)


def test_jobs_that_are_stored_twice_are_counted_once(storage: Storage) -> None:
    batch = Batch(storage)
    jobs = batch.reserve(3)
    batch.store(jobs)
    batch.store(jobs)
    assert batch.read()["jobs"] == 3


def test_numbers_are_refused_beyond_the_limit_and_after_the_close(storage: Storage) -> None:
    batch = Batch(storage)
    jobs = batch.reserve(3, limit=3)
    with pytest.raises(BatchFull):
        batch.reserve(1, limit=3)
    batch.close()
    with pytest.raises(BatchClosed):
        batch.reserve(1)
    with pytest.raises(BatchClosed):
        batch.store(jobs)
    assert storage.value("SELECT count(*) FROM jobs WHERE operation = 'square_sum'") == 0
    batch.id = new_batch_id(0, 0)
    with pytest.raises(BatchNotFound):
        batch.reserve(1)


@pytest.mark.parametrize("frontier", [None, 1, 5, 10, 11, 25, 30])
def test_counts_are_exact_wherever_the_frontier_is(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, frontier: int | None
) -> None:
    """The first job still runs, and nine after it have ended."""
    monkeypatch.setattr(reads, "READ", reads.READ.replace(f"{NEAR}", "0"))
    batch = Batch(storage)
    jobs = batch.add(30)
    claimer = storage.claimer()
    claimer.settle(claimer.claim(10)[1:])
    if frontier is not None:
        id_ = str(batch_job_id(batch.id, frontier))
        storage.rows("UPDATE batches SET frontier = %s WHERE id = %s", (id_, str(batch.id)))
    assert (batch.read()["unfinished"], batch.read()["jobs"]) == (21, 30)
    fail(storage, jobs[1])
    assert (batch.read()["unfinished"], batch.read()["failed"]) == (21, 1)


@pytest.mark.parametrize("near", [0, 20_000])
def test_counts_are_the_same_from_both_sides_of_the_place(
    storage: Storage, connection: WorkerConnection, monkeypatch: pytest.MonkeyPatch, near: int
) -> None:
    """With `near` 0 no live rows are counted where outcomes can be."""
    monkeypatch.setattr(reads, "READ", reads.READ.replace(f"{NEAR}", f"{near}"))
    batch = Batch(storage)
    jobs = batch.add(30)
    claimer = storage.claimer()
    claimer.settle(claimer.claim(10))
    for _ in range(2):
        assert (batch.read()["unfinished"], batch.read()["jobs"]) == (20, 30)
        _, moved, _ = ends.look(connection, ends.NO_BATCH, 100)
        ends.move_places(connection, moved)
    fail(storage, jobs[0])
    storage.api(lambda api: retried(api, jobs[0], None))
    assert batch.place() == 1
    assert (batch.read()["unfinished"], batch.read()["failed"]) == (21, 0)


def test_jobs_that_are_deleted_before_the_end_of_their_batch_stay_in_its_counts(
    storage: Storage, connection: WorkerConnection
) -> None:
    batch = Batch(storage, keep_s=3_600)
    jobs = batch.add(3)
    run(storage, connection)
    fail(storage, jobs[0])
    set_finished_ago(storage, 7_200)
    storage.rows("UPDATE expiries SET at = now() - interval '1 s'")
    assert delete_expired(connection, storage) == (3, 3)
    batch.add(2)
    row = batch.read()
    assert (row["jobs"], row["unfinished"], row["failed"], row["cancelled"]) == (5, 2, 1, 0)
    batch.close()
    run(storage, connection)
    assert batch.end(connection)
    row = batch.read()
    assert (row["jobs"], row["unfinished"], row["failed"], row["cancelled"]) == (5, 0, 1, 0)


def test_batches_are_deleted_so_many_days_after_their_end(storage: Storage, connection: WorkerConnection) -> None:
    old, new, active = Batch(storage), Batch(storage), Batch(storage)
    for batch in (old, new):
        batch.close()
    storage.rows("UPDATE batches SET ended_at = ended_at - interval '8 days' WHERE id = %s", (str(old.id),))
    storage.rows("UPDATE batches SET created_at = now() - interval '8 days'")
    assert ends.delete_ended(connection, 7, 100) == 1
    left = {row[0] for row in storage.rows("SELECT id::text FROM batches")}
    assert left == {str(new.id), str(active.id)}
    assert ends.close_late(connection, 86_400, 10) == [str(active.id)]
