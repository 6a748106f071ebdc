"""Insert jobs that have an idempotency key or a unique key.

Locking the row of a key serialises the submissions that compete for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.errors import KeyReused, UniqueConflict
from common.domain.job import HeldWhile, NewJob, OnConflict
from common.store.jobs import insert
from common.store.jobs.fragments import HOLDS_UNIQUE_KEY
from common.store.jobs.running_keys import LOCK

# A second request with the key waits for the commit of the first one, and then finds its row.
_TAKE_IDEMPOTENCY_KEY = """
INSERT INTO idempotency_keys AS k (key, ids, digest, until)
VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 s')
ON CONFLICT (tenant, key) DO UPDATE SET ids = excluded.ids, digest = excluded.digest, until = excluded.until
WHERE k.until < clock_timestamp()
RETURNING true
"""
_IDEMPOTENCY_KEY = "SELECT ids, digest FROM idempotency_keys WHERE tenant = 1 AND key = $1"

# Read after the lock. No row: the job no longer holds the key.
_HOLDER_RUNS = (
    f"SELECT l.worker IS NOT NULL FROM live l JOIN jobs j ON j.id = l.id WHERE l.id = $1 AND {HOLDS_UNIQUE_KEY}"
)
_TAKE_UNIQUE_KEY = "UPDATE unique_keys SET id = $2 WHERE tenant = 1 AND key = $1"
CANCEL_WAITING = """
WITH gone AS (DELETE FROM live WHERE id = $1 AND worker IS NULL RETURNING *)
INSERT INTO outcomes (id, run, attempt, released, rev, status)
SELECT id, run, attempt, released, rev + 1, 'CANCELLED' FROM gone RETURNING id
"""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The idempotency key of a request."""

    key: str
    body_digest: bytes
    ttl_s: float  #: seconds after which the key is free again


@dataclass(frozen=True, slots=True)
class InsertOutcome:
    """The result of a submission under a key."""

    ids: list[UUID]  #: in the order of the submissions. With `on_conflict: return`, that of the job that holds the key
    inserted: list[NewJob]  #: the jobs that were inserted
    replayed: bool = False  #: an earlier request with this idempotency key inserted the jobs


async def insert_keyed(
    connection: asyncpg.Connection, jobs: Sequence[NewJob], key: IdempotencyKey | None, timeout_s: float | None = None
) -> InsertOutcome:
    """Insert the jobs, all or none, unless a request with this key has done so; safe to repeat with the same jobs.

    `timeout_s` limits each statement. Raises KeyReused if the key was used with another body, and UniqueConflict if
    another job holds a unique key and the options neither replace nor return it.
    """
    async with connection.transaction():
        if timeout_s is not None:
            await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
        if key is not None and (earlier := await _replayed(connection, jobs, key)) is not None:
            return earlier
        holders = await _take_unique_keys(connection, jobs)
        new = [job for job in jobs if job.id not in holders]
        if new:
            await insert.insert_jobs(connection, new)
        ids = [holders.get(job.id, job.id) for job in jobs]
        if key is not None and new != list(jobs):
            await connection.execute("UPDATE idempotency_keys SET ids = $2 WHERE tenant = 1 AND key = $1", key.key, ids)
        return InsertOutcome(ids, new)


async def _replayed(
    connection: asyncpg.Connection, jobs: Sequence[NewJob], key: IdempotencyKey
) -> InsertOutcome | None:
    """Return the jobs of an earlier request with this key. None: this request has taken the key."""
    ids = [job.id for job in jobs]
    while not await connection.fetchrow(_TAKE_IDEMPOTENCY_KEY, key.key, ids, key.body_digest, key.ttl_s):
        row = await connection.fetchrow(_IDEMPOTENCY_KEY, key.key)
        if row is None:  # it had expired, and was deleted meanwhile
            continue
        if row["digest"] != key.body_digest:
            raise KeyReused
        stored_ids = [_standard_uuid(job_id) for job_id in row["ids"]]
        is_own = stored_ids == ids  # an earlier try of this request was committed, and its answer was lost
        return InsertOutcome(stored_ids, list(jobs) if is_own else [], replayed=not is_own)
    return None


async def _take_unique_keys(connection: asyncpg.Connection, jobs: Sequence[NewJob]) -> dict[UUID, UUID]:
    """Take the unique keys of the jobs, in the order of the keys, so that two submissions cannot deadlock.

    Return, by job, the other job that holds its key and is returned instead. Raises UniqueConflict.
    """
    holders: dict[UUID, UUID] = {}
    taken: dict[str, UUID] = {}
    for job in sorted(jobs, key=lambda job: _unique_key(job) or ""):
        key = _unique_key(job)
        if key is None:
            continue
        holder = (
            taken[key]
            if key in taken
            else await _take_or_find_holder(connection, job.id, key, replace=_on_conflict(job) is OnConflict.REPLACE)
        )
        if holder == job.id:
            taken[key] = holder
        else:
            _require_return_on_conflict(job, holder)
            holders[job.id] = holder
    return holders


async def _take_or_find_holder(
    connection: asyncpg.Connection, job_id: UUID, key: str, *, replace: bool = False
) -> UUID:
    """Take a unique key, and return the job that holds it now. `replace`: cancel a holder that is waiting."""
    row = await connection.fetchrow(LOCK.sql, key, job_id)
    assert row is not None  # noqa: S101 - inserted or there
    holder = _standard_uuid(row[0])
    if holder == job_id:
        return holder
    live_holder = await connection.fetchrow(_HOLDER_RUNS, holder)
    if live_holder is not None and not (replace and await connection.fetchrow(CANCEL_WAITING, holder)):
        return holder
    await connection.execute(_TAKE_UNIQUE_KEY, key, job_id)
    return job_id


async def take_unique_key(connection: asyncpg.Connection, key: str, job_id: UUID) -> None:
    """Take a unique key for an existing job, in the caller's transaction. Raises UniqueConflict if it is held."""
    holder = await _take_or_find_holder(connection, job_id, key)
    if holder != job_id:
        raise UniqueConflict(holder)


def _standard_uuid(value: UUID) -> UUID:
    """Return a UUID of the standard library instead of the driver's subclass."""
    return UUID(int=value.int)


def _unique_key(job: NewJob) -> str | None:
    """Return the unique key to take at the insert. A key that is held while the job runs is taken when it starts."""
    unique = None if job.options is None else job.options.unique
    return None if unique is None or unique.held_while is HeldWhile.RUNNING else unique.key


def _on_conflict(job: NewJob) -> OnConflict:
    assert job.options is not None and job.options.unique is not None  # noqa: S101, PT018 - it has a key
    return job.options.unique.on_conflict


def _require_return_on_conflict(job: NewJob, holder: UUID) -> None:
    if _on_conflict(job) is not OnConflict.RETURN:
        raise UniqueConflict(holder)
