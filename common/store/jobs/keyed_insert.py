"""Insert jobs that have an idempotency key or a unique key.

Locking the row of a key serialises the submissions that compete for it. The number of statements is the same for a
batch of any size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import asyncpg

from common.domain.errors import KeyReused, UniqueConflict
from common.domain.job import HeldWhile, NewJob, OnConflict
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.connection.caller import caller_cte, for_caller
from common.store.jobs import insert
from common.store.jobs.fragments import HOLDS_UNIQUE_KEY

# A second request with the key waits for the commit of the first one, and then finds its row.
_TAKE_IDEMPOTENCY_KEY = f"""
WITH {caller_cte("ARRAY[$1::int]")}
INSERT INTO idempotency_keys AS k (tenant, key, ids, digest, until, batch)
SELECT $1, $2, $3, $4, clock_timestamp() + $5::float8 * interval '1 s', $6 FROM caller
ON CONFLICT (tenant, key) DO UPDATE
SET ids = excluded.ids, digest = excluded.digest, until = excluded.until, batch = excluded.batch
WHERE k.until < clock_timestamp()
RETURNING true
"""
# The statements that follow are part of the transaction in which this one, or the next one, has set the tenant.
_IDEMPOTENCY_KEY = "SELECT ids, digest, batch FROM idempotency_keys WHERE tenant = $1 AND key = $2"
_REPLAY = for_caller(
    """SELECT ids, digest, batch FROM idempotency_keys
    WHERE tenant = $1 AND key = $2 AND until >= clock_timestamp()""",
    "ARRAY[$1::int]",
)
_SET_IDS = "UPDATE idempotency_keys SET ids = $3 WHERE tenant = $1 AND key = $2"

# Locks the rows of the keys in the order of the array, whichever jobs hold them.
_LOCK_UNIQUE_KEYS = f"""
WITH {caller_cte("ARRAY[$1::int]")}
INSERT INTO unique_keys AS u (tenant, key, id)
SELECT $1, d.* FROM caller CROSS JOIN unnest($2::text[], $3::uuid[]) AS d(key, id)
ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING u.key, u.id
"""
# Read after the lock. A job without a row no longer holds its key.
_HOLDING = f"""
SELECT d.id FROM unnest($2::uuid[]) AS d(id)
CROSS JOIN LATERAL (SELECT * FROM live WHERE live.id = d.id AND live.tenant = $1 OFFSET 0) l
CROSS JOIN LATERAL (SELECT unique_while FROM jobs WHERE jobs.id = d.id AND jobs.tenant = $1 OFFSET 0) j
WHERE {HOLDS_UNIQUE_KEY}
"""
_TAKE_UNIQUE_KEYS = """
UPDATE unique_keys SET id = d.id FROM unnest($2::text[], $3::uuid[]) AS d(key, id)
WHERE unique_keys.tenant = $1 AND unique_keys.key = d.key
"""
_CANCEL_WAITING = f"""
WITH gone AS (DELETE FROM live WHERE {{is_job}} AND tenant = $1 AND worker IS NULL RETURNING *),
ended AS (
    INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status)
    SELECT id, tenant, run, attempt, released, rev + 1, 'CANCELLED' FROM gone RETURNING id)
{for_caller("SELECT id FROM ended", "ARRAY[$1::int]")}
"""
CANCEL_WAITING = _CANCEL_WAITING.format(is_job="id = $2")
_CANCEL_ALL_WAITING = _CANCEL_WAITING.format(is_job="id = ANY ($2)")


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
    batch: UUID | None = None  #: the batch of the jobs


class BatchWrite(Protocol):
    """The write of a submission to its batch, in the transaction that inserts the jobs."""

    @property
    def id(self) -> UUID:
        """The id of the batch."""

    async def write(self, connection: asyncpg.Connection, inserted: Sequence[NewJob]) -> None:
        """Write it, after the jobs were inserted. Safe to repeat."""


@dataclass(frozen=True, slots=True)
class _KeyClaim:
    """A job that wants a unique key."""

    job_id: UUID
    on_conflict: OnConflict


async def insert_keyed(
    connection: asyncpg.Connection,
    jobs: Sequence[NewJob],
    key: IdempotencyKey | None,
    timeout_s: float | None = None,
    *,
    tenant: int = DEFAULT_TENANT,
    batch: BatchWrite | None = None,
) -> InsertOutcome:
    """Insert the jobs, all or none, unless a request with this key has done so; safe to repeat with the same jobs.

    `tenant`: that of the caller, whose keys are meant. `timeout_s` limits each statement. `batch`: the batch of the
    jobs; its row is the last one that is locked. Raises KeyReused if the key was used with another body, UniqueConflict
    if another job holds a unique key and the options neither replace nor return it, and what `batch` raises.
    """
    async with connection.transaction():
        if timeout_s is not None:
            await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
        if key is not None and (earlier := await _replayed(connection, tenant, jobs, key, batch)) is not None:
            return earlier
        holders = await _take_unique_keys(connection, tenant, _claims(jobs))
        new = [job for job in jobs if job.id not in holders]
        if new:
            await insert.insert_jobs(connection, new, tenants=(tenant,))
        ids = [holders.get(job.id, job.id) for job in jobs]
        if key is not None and new != list(jobs):
            await connection.execute(_SET_IDS, tenant, key.key, ids)
        if batch is not None:
            await batch.write(connection, new)
        return InsertOutcome(ids, new, batch=None if batch is None else batch.id)


async def _replayed(
    connection: asyncpg.Connection,
    tenant: int,
    jobs: Sequence[NewJob],
    key: IdempotencyKey,
    batch: BatchWrite | None,
) -> InsertOutcome | None:
    """Return the jobs of an earlier request with this key. None: this request has taken the key."""
    ids = [job.id for job in jobs]
    while not await take_idempotency_key(connection, tenant, ids, key, None if batch is None else batch.id):
        row = await connection.fetchrow(_IDEMPOTENCY_KEY, tenant, key.key)
        if row is None:  # it had expired, and was deleted meanwhile
            continue
        if row["digest"] != key.body_digest:
            raise KeyReused
        stored_ids = [_standard_uuid(job_id) for job_id in row["ids"]]
        is_own = stored_ids == ids  # an earlier try of this request was committed, and its answer was lost
        batch_id = row["batch"] and _standard_uuid(row["batch"])
        return InsertOutcome(stored_ids, list(jobs) if is_own else [], replayed=not is_own, batch=batch_id)
    return None


async def take_idempotency_key(
    connection: asyncpg.Connection, tenant: int, ids: Sequence[UUID], key: IdempotencyKey, batch: UUID | None
) -> bool:
    """Take the key of a request for these jobs, in the open transaction. Return False if an earlier request has it."""
    taken = (tenant, key.key, ids, key.body_digest, key.ttl_s, batch)
    return bool(await connection.fetchrow(_TAKE_IDEMPOTENCY_KEY, *taken))


async def replay(connection: asyncpg.Connection, tenant: int, key: IdempotencyKey) -> InsertOutcome | None:
    """Return the jobs of an earlier request of a tenant with this key; None: there was none. Raises KeyReused."""
    row = await connection.fetchrow(_REPLAY, tenant, key.key)
    if row is None:
        return None
    if row["digest"] != key.body_digest:
        raise KeyReused
    batch_id = row["batch"] and _standard_uuid(row["batch"])
    return InsertOutcome([_standard_uuid(job_id) for job_id in row["ids"]], [], replayed=True, batch=batch_id)


async def take_unique_key(connection: asyncpg.Connection, tenant: int, key: str, job_id: UUID) -> None:
    """Take a unique key for an existing job, in the open transaction. Raises UniqueConflict if it is held."""
    await _take_unique_keys(connection, tenant, {key: [_KeyClaim(job_id, OnConflict.REJECT)]})


async def _take_unique_keys(
    connection: asyncpg.Connection, tenant: int, claims: Mapping[str, Sequence[_KeyClaim]]
) -> dict[UUID, UUID]:
    """Take each key for the first job that can have it. `claims` has the keys in order, and their jobs in order.

    All submissions lock keys in the same order, so they cannot deadlock. Return, by job, the other job that holds its
    key and is returned instead. Raises UniqueConflict.
    """
    if not claims:
        return {}
    first_ids = [key_claims[0].job_id for key_claims in claims.values()]
    locked = await connection.fetch(_LOCK_UNIQUE_KEYS, tenant, list(claims), first_ids)
    holders: dict[str, UUID] = {row[0]: row[1] for row in locked}
    takers = await _takers(
        connection,
        tenant,
        claims,
        {key: holder for key, holder in locked if all(claim.job_id != holder for claim in claims[key])},
    )
    if takers:
        await connection.execute(_TAKE_UNIQUE_KEYS, tenant, list(takers), list(takers.values()))
    returned: dict[UUID, UUID] = {}
    for key, key_claims in claims.items():
        holder = holders[key]
        for claim in key_claims:
            if claim.job_id == takers.get(key, holder):
                holder = claim.job_id
            elif claim.on_conflict is OnConflict.RETURN:
                returned[claim.job_id] = _standard_uuid(holder)
            else:
                raise UniqueConflict(_standard_uuid(holder))
    return returned


async def _takers(
    connection: asyncpg.Connection,
    tenant: int,
    claims: Mapping[str, Sequence[_KeyClaim]],
    others: Mapping[str, UUID],
) -> dict[str, UUID]:
    """Return the jobs that take keys of other jobs: of those that have ended, and of those that are cancelled here.

    `others`: the jobs that were the last to hold the keys.
    """
    if not others:
        return {}
    holding = {row[0] for row in await connection.fetch(_HOLDING, tenant, list(others.values()))}
    takers = {key: claims[key][0].job_id for key, holder in others.items() if holder not in holding}
    replacing = {
        holder: (key, claim.job_id)
        for key, holder in others.items()
        if holder in holding and (claim := _first_that_insists(claims[key])).on_conflict is OnConflict.REPLACE
    }
    if replacing:
        takers |= [replacing[row[0]] for row in await connection.fetch(_CANCEL_ALL_WAITING, tenant, list(replacing))]
    return takers


def _first_that_insists(key_claims: Sequence[_KeyClaim]) -> _KeyClaim:
    """Return the first claim that does not put up with another holder, or the last claim."""
    return next((claim for claim in key_claims if claim.on_conflict is not OnConflict.RETURN), key_claims[-1])


def _standard_uuid(value: UUID) -> UUID:
    """Return a UUID of the standard library instead of the driver's subclass."""
    return UUID(int=value.int)


def _claims(jobs: Sequence[NewJob]) -> dict[str, list[_KeyClaim]]:
    """Return the claims of the jobs by key, in the order of the keys.

    A key that is held while the job runs is taken when it starts.
    """
    claims: dict[str, list[_KeyClaim]] = {}
    for job in jobs:
        unique = None if job.options is None else job.options.unique
        if unique is not None and unique.held_while is not HeldWhile.RUNNING:
            claims.setdefault(unique.key, []).append(_KeyClaim(job.id, unique.on_conflict))
    return dict(sorted(claims.items()))
