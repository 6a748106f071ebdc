"""Stores batches, and adds jobs to open ones, in the transaction that inserts the jobs.

The row of a batch hands out the numbers of its jobs before these are inserted, in a transaction of its own: so a repeat
after a lost answer has the same ids. The row is changed last, so submissions to one batch insert their jobs at the same
time, and its lock is the last one that they wait for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import orjson

from common.domain.batches import MAX_NUMBER, NewBatch, last_job_id, numbers_of
from common.domain.errors import BatchClosed, BatchFull, BatchNotFound
from common.domain.job import NewJob
from common.store.connection.caller import caller_cte, for_caller
from common.store.jobs.fragments import job_row

_CALLER = "ARRAY[$1::int]"
_INSERT = f"""
WITH {caller_cte(_CALLER)}
INSERT INTO batches (
    tenant, id, last, place, jobs, numbers, closed_at, submitted_by, follow_up, webhook, is_workflow)
SELECT $1, $2, $3, $2, $4, $5, CASE WHEN $6 THEN clock_timestamp() END, $7, $8::text::json, $9, $10 FROM caller
ON CONFLICT (id) DO NOTHING
"""
_RESERVE = f"""
WITH taken AS (
    UPDATE batches b SET numbers = b.numbers + $3
    WHERE b.id = $2 AND b.tenant = $1 AND b.closed_at IS NULL AND b.numbers + $3 <= $4
    RETURNING b.numbers)
{for_caller("SELECT numbers FROM taken", _CALLER)}
"""
_STATE = for_caller("SELECT closed_at IS NOT NULL FROM batches WHERE id = $2 AND tenant = $1", _CALLER)
# A transaction before this one that has stored the same jobs has counted them.
_ADD = """
UPDATE batches
SET jobs = jobs + n.count, place = least(place, $3), rev = rev + 1
FROM (SELECT count(*) FROM jobs
      WHERE id BETWEEN $3 AND $4 AND tenant = $1 AND xmin = pg_current_xact_id()::xid) AS n
WHERE batches.id = $2 AND batches.tenant = $1 AND batches.closed_at IS NULL
RETURNING true
"""


@dataclass(frozen=True, slots=True)
class NewBatchRow:
    """Stores a batch together with its jobs."""

    batch: NewBatch
    numbers: int = 0  #: of the submissions

    @property
    def id(self) -> UUID:
        """The id of the batch."""
        return self.batch.id

    async def write(self, connection: asyncpg.Connection, inserted: Sequence[NewJob]) -> None:
        """Store the row in the open transaction, which has inserted these jobs. Safe to repeat."""
        await insert_batch(connection, self.batch, len(inserted), self.numbers)


@dataclass(frozen=True, slots=True)
class AddedJobs:
    """Adds jobs to an open batch."""

    id: UUID
    tenant: int

    async def write(self, connection: asyncpg.Connection, inserted: Sequence[NewJob]) -> None:
        """Count the jobs that the open transaction has inserted. Raises BatchClosed, or BatchNotFound."""
        if not inserted:
            await _check_open(connection, self.tenant, self.id)
            return
        await self.count(connection, *numbers_of(inserted))

    async def count(self, connection: asyncpg.Connection, first: UUID, last: UUID) -> None:
        """Count those jobs of a range of ids that the open transaction has inserted. Raises as `write`."""
        if not await connection.fetchrow(_ADD, self.tenant, self.id, first, last):
            await _check_open(connection, self.tenant, self.id)
            raise BatchClosed  # it was closed, and removed meanwhile


async def insert_batch(connection: asyncpg.Connection, batch: NewBatch, jobs: int = 0, numbers: int = 0) -> None:
    """Insert the row of a batch with so many jobs and numbers. Atomic; safe to repeat."""
    follow_up = None if batch.follow_up is None else orjson.dumps(job_row(batch.follow_up)).decode()
    await connection.execute(
        _INSERT,
        batch.tenant,
        batch.id,
        last_job_id(batch.id),
        jobs,
        numbers,
        batch.closed,
        batch.submitted_by,
        follow_up,
        batch.webhook,
        batch.is_workflow,
    )


async def reserve_numbers(connection: asyncpg.Connection, tenant: int, batch_id: UUID, count: int, limit: int) -> int:
    """Hand out the next numbers of a tenant's open batch; return the first one. Numbers that are not used stay free.

    Raises BatchNotFound, BatchClosed, or BatchFull if the batch would have more numbers than `limit`.
    """
    row = await connection.fetchrow(_RESERVE, tenant, batch_id, count, min(limit, MAX_NUMBER))
    if row is None:
        await _check_open(connection, tenant, batch_id)
        raise BatchFull(min(limit, MAX_NUMBER))
    return int(row[0]) - count + 1


async def _check_open(connection: asyncpg.Connection, tenant: int, batch_id: UUID) -> None:
    row = await connection.fetchrow(_STATE, tenant, batch_id)
    if row is None:
        raise BatchNotFound
    if row[0]:
        raise BatchClosed
