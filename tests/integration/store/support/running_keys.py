"""Jobs with a key that they hold while they run."""

from collections.abc import Sequence
from dataclasses import replace

from integration.store.support.storage import Claimer, Storage

from common.domain.job import ClaimedJob, HeldWhile, NewJob, OnConflict, Options, RunningKey, Unique
from common.store.jobs import running_keys


def keyed(jobs: Sequence[NewJob], key: str = "k", **options: object) -> list[NewJob]:
    """Return the jobs with a key that they hold while they run."""
    unique = Unique(key, HeldWhile.RUNNING, OnConflict.REJECT)
    return [replace(job, options=Options(unique=unique, **options)) for job in jobs]  # type: ignore[arg-type]  # a test's


def submit(storage: Storage, count: int = 1, *, key: str = "k", priority: int = 5, queue: str = "default") -> list[str]:
    """Store jobs with a key; returns their ids in their order."""
    jobs = sorted(storage.new(count, priority=priority, queue=queue), key=lambda job: job.id)
    return storage.store(keyed(jobs, key))


def parked(storage: Storage) -> list[str]:
    """Return the parked jobs in the order in which they are woken."""
    return [
        row[0]
        for row in storage.rows(
            "SELECT id::text FROM live WHERE claimable_at = 'infinity' ORDER BY priority, due_since, id"
        )
    ]


def run_one(storage: Storage, claimer: Claimer, key: str = "k") -> ClaimedJob:
    """Store a job with a key, claim it, and take the key for it."""
    submit(storage, key=key)
    (job,) = claimer.claim()
    assert running_keys.take(claimer.connection, claimer.id, job, RunningKey(1, key))
    return job


def sweep(storage: Storage) -> int:
    """Look at all groups of parked jobs, as the controller does in turn."""
    connection, woken, place = storage.connection(), 0, running_keys.NO_GROUP
    while True:
        count, place = running_keys.wake_in_turn(connection, place, 2)
        woken += count
        if place == running_keys.NO_GROUP:
            return woken


def settle_and_wake(claimer: Claimer, job: ClaimedJob, *keys: str) -> list[str]:
    """End a job as its process does: settle it, wake the next one of its key. Returns the queues of woken jobs."""
    with claimer.connection.transaction():
        assert claimer.settle([job]) == {job.id}
        return running_keys.wake(claimer.connection, [RunningKey(1, key) for key in keys or ["k"]])
