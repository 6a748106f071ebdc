"""Submissions under a key: of a request that may come twice, of a job that may be there once. Held by rows of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.errors import KeyReused, UniqueConflict
from common.domain.job import HeldWhile, NewJob, OnConflict
from common.store.jobs import insert
from common.store.jobs.fragments import HOLDS_UNIQUE_KEY
from common.store.jobs.running_keys import LOCK

# Whoever comes second waits for the first one's commit, and then finds its row.
_TAKE_IDEMPOTENCY_KEY = """
INSERT INTO keys AS k (key, ids, digest, until) VALUES ($1, $2, $3, clock_timestamp() + $4 * interval '1 s')
ON CONFLICT (tenant, key) DO UPDATE SET ids = excluded.ids, digest = excluded.digest, until = excluded.until WHERE k.until < clock_timestamp()
RETURNING true
"""
_IDEMPOTENCY_KEY = "SELECT ids, digest FROM keys WHERE tenant = 1 AND key = $1"

# Asked after the lock: whether that job still holds the key.
_HOLDER_RUNS = f"SELECT l.worker IS NOT NULL FROM live l JOIN jobs j ON j.id = l.id WHERE l.id = $1 AND {HOLDS_UNIQUE_KEY}"
_TAKE_UNIQUE_KEY = "UPDATE uniq SET id = $2 WHERE tenant = 1 AND key = $1"
CANCEL_WAITING = """
WITH gone AS (DELETE FROM live WHERE id = $1 AND worker IS NULL RETURNING *)
INSERT INTO outcomes (id, epoch, attempt, released, rev, status) SELECT id, epoch, attempt, released, rev + 1, 'CANCELLED' FROM gone RETURNING id
"""


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An idempotency key."""

    key: str
    body_digest: bytes  #: of the body
    ttl_s: float


@dataclass(frozen=True, slots=True)
class InsertOutcome:
    """What came of a submission under a key."""

    ids: list[UUID]  #: in the order of the submissions; of the job that holds the key where one was returned
    inserted: list[NewJob]  #: what was stored
    replayed: bool = False  #: an earlier request with this key stored them


async def insert_once(connection: asyncpg.Connection, jobs: Sequence[NewJob], key: IdempotencyKey | None, timeout_s: float | None = None) -> InsertOutcome:
    """Store the jobs, all or none, unless a request with this key has done so; safe to repeat with the same jobs.

    Raises KeyReused for a key that came with another body, UniqueConflict where a job holds a unique key and is to stay.
    """
    async with connection.transaction():
        if timeout_s is not None:
            await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
        if key is not None and (had := await _replayed(connection, jobs, key)) is not None:
            return had
        holders = await _take_unique_keys(connection, jobs)
        new = [job for job in jobs if job.id not in holders]
        if new:
            await insert.insert_jobs(connection, new)
        ids = [holders.get(job.id, job.id) for job in jobs]
        if key is not None and new != list(jobs):
            await connection.execute("UPDATE keys SET ids = $2 WHERE tenant = 1 AND key = $1", key.key, ids)
        return InsertOutcome(ids, new)


async def _replayed(connection: asyncpg.Connection, jobs: Sequence[NewJob], key: IdempotencyKey) -> InsertOutcome | None:
    """Return what an earlier request with this key has stored; None: the key is ours now."""
    ids = [job.id for job in jobs]
    while not await connection.fetchrow(_TAKE_IDEMPOTENCY_KEY, key.key, ids, key.body_digest, key.ttl_s):
        row = await connection.fetchrow(_IDEMPOTENCY_KEY, key.key)
        if row is None:  # its time was over, and it was removed meanwhile
            continue
        if row["digest"] != key.body_digest:
            raise KeyReused
        had = [_standard_uuid(one) for one in row["ids"]]
        mine = had == ids  # of an earlier try, whose answer was lost
        return InsertOutcome(had, list(jobs) if mine else [], replayed=not mine)
    return None


async def _take_unique_keys(connection: asyncpg.Connection, jobs: Sequence[NewJob]) -> dict[UUID, UUID]:
    """Take the unique keys of the jobs, in one order for all who do so. Returns, by job, who holds its key and is answered instead."""
    holders: dict[UUID, UUID] = {}
    ours: dict[str, UUID] = {}
    for job in sorted(jobs, key=lambda job: _unique_key(job) or ""):
        key = _unique_key(job)
        if key is None:
            continue
        holder = ours[key] if key in ours else await _take_or_find_holder(connection, job.id, key, replace=_on_conflict(job) is OnConflict.REPLACE)
        if holder == job.id:
            ours[key] = holder
        else:
            _require_return_on_conflict(job, holder)
            holders[job.id] = holder
    return holders


async def _take_or_find_holder(connection: asyncpg.Connection, job_id: UUID, key: str, *, replace: bool = False) -> UUID:
    """Lock a key and return who holds it: the job itself, once it has it. `replace`: who holds it and waits is cancelled."""
    row = await connection.fetchrow(LOCK.sql, key, job_id)
    assert row is not None  # noqa: S101 - inserted or there
    holder = _standard_uuid(row[0])
    if holder == job_id:
        return holder
    held = await connection.fetchrow(_HOLDER_RUNS, holder)
    if held is not None and not (replace and await connection.fetchrow(CANCEL_WAITING, holder)):
        return holder
    await connection.execute(_TAKE_UNIQUE_KEY, key, job_id)
    return job_id


async def take_unique_key(connection: asyncpg.Connection, key: str, job_id: UUID) -> None:
    """Take a unique key for a job that is there, in the caller's transaction. Raises UniqueConflict where another one holds it."""
    holder = await _take_or_find_holder(connection, job_id, key)
    if holder != job_id:
        raise UniqueConflict(holder)


def _standard_uuid(found: UUID) -> UUID:
    """Return a UUID of the standard library: the driver's own class is not for everybody."""
    return UUID(int=found.int)


def _unique_key(job: NewJob) -> str | None:
    """Return the key that is taken as the job is stored; one that is held while it runs is taken as it begins."""
    unique = None if job.options is None else job.options.unique
    return None if unique is None or unique.held_while is HeldWhile.RUNNING else unique.key


def _on_conflict(job: NewJob) -> OnConflict:
    assert job.options is not None and job.options.unique is not None  # noqa: S101, PT018 - it has a key
    return job.options.unique.on_conflict


def _require_return_on_conflict(job: NewJob, holder: UUID) -> None:
    if _on_conflict(job) is not OnConflict.RETURN:
        raise UniqueConflict(holder)
