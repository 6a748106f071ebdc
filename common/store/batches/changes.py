"""Closes and cancels batches, as clients request it. Each change locks the row of the batch first."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.bulk_actions import STATES_CHANGED_BY, ActionKind
from common.domain.errors import BatchNotFound
from common.domain.job_search import JobSearch
from common.domain.tenancy.audit import AuditEntry
from common.store.batches.sql import END
from common.store.connection.caller import for_caller
from common.store.tenancy import audit

_CALLER = "ARRAY[$1::int]"
_LOCK = for_caller(
    """SELECT closed_at IS NOT NULL AS is_closed, failed IS NOT NULL AS has_ended, retried, jobs, cancel_action
    FROM batches WHERE id = $2 AND tenant = $1 FOR UPDATE""",
    _CALLER,
)
# The statements that follow are part of the transaction in which this one has set the tenant.
_CLOSE = "UPDATE batches SET closed_at = clock_timestamp(), rev = rev + 1 WHERE id = $2 AND tenant = $1"
# One that is done has nothing left to cancel, unless a job was retried since.
_IS_ENOUGH = """
SELECT phase = 'RUNNING' OR (phase = 'DONE' AND NOT $3) FROM bulk_actions WHERE id = $2 AND tenant = $1
"""
_CANCEL = """
UPDATE batches SET cancelled_at = clock_timestamp(), cancel_action = $3, rev = rev + 1 WHERE id = $2 AND tenant = $1
"""
_INSERT_ACTION = """
INSERT INTO bulk_actions (
    id, tenant, kind, phase, filter, jobs_per_second, as_of, started_at, count, count_is_exact, sample, skipped,
    not_undone)
VALUES ($2, $1, 'cancel', 'RUNNING', $3::text::json, $4, clock_timestamp(), clock_timestamp(), $5, false, '[]', '{}',
        '{}')
"""


@dataclass(frozen=True, slots=True)
class BatchChange:
    """The result of a change."""

    has_changed: bool  #: False: the batch was so already
    follow_up_queue: str | None = None  #: the queue of the follow-up that the change has stored


async def close(
    connection: asyncpg.Connection, tenant: int, batch_id: UUID, entry: AuditEntry | None, follow_up_id: UUID
) -> BatchChange:
    """Close a tenant's batch, and store the audit entry, if any. Safe to repeat.

    Without jobs the batch ends in the same transaction. `follow_up_id`: the id that the follow-up then gets. Raises
    BatchNotFound.
    """
    async with connection.transaction():
        batch = await _lock(connection, tenant, batch_id)
        if batch["is_closed"]:
            return BatchChange(has_changed=False)
        queue = await _close(connection, tenant, batch_id, batch["jobs"], follow_up_id)
        if entry is not None:
            await audit.record(connection, entry)
        return BatchChange(has_changed=True, follow_up_queue=queue)


async def cancel(
    connection: asyncpg.Connection,
    tenant: int,
    batch_id: UUID,
    entry: AuditEntry,
    new_ids: tuple[UUID, UUID],
    jobs_per_second: int,
) -> BatchChange:
    """Close a tenant's batch, start a bulk action that cancels its jobs, and store the audit entry. Atomic.

    `new_ids`: those of the follow-up of an empty batch, and of the bulk action. Changes nothing if all jobs have ended,
    or if an earlier cancel does it; so it is safe to repeat. Raises BatchNotFound.
    """
    follow_up_id, action_id = new_ids
    async with connection.transaction():
        batch = await _lock(connection, tenant, batch_id)
        earlier = batch["cancel_action"]
        if batch["has_ended"] or (earlier and await connection.fetchval(_IS_ENOUGH, tenant, earlier, batch["retried"])):
            return BatchChange(has_changed=False)
        queue = None
        if not batch["is_closed"]:
            queue = await _close(connection, tenant, batch_id, batch["jobs"], follow_up_id)
        if batch["jobs"]:
            search = JobSearch(statuses=STATES_CHANGED_BY[ActionKind.CANCEL], batch=batch_id)
            await connection.execute(
                _INSERT_ACTION, tenant, action_id, search.to_json(), jobs_per_second, batch["jobs"]
            )
        await connection.execute(_CANCEL, tenant, batch_id, action_id if batch["jobs"] else None)
        await audit.record(connection, entry)
        return BatchChange(has_changed=True, follow_up_queue=queue)


async def _lock(connection: asyncpg.Connection, tenant: int, batch_id: UUID) -> asyncpg.Record:
    row = await connection.fetchrow(_LOCK, tenant, batch_id)
    if row is None:
        raise BatchNotFound
    return row


async def _close(
    connection: asyncpg.Connection, tenant: int, batch_id: UUID, jobs: int, follow_up_id: UUID
) -> str | None:
    """Close a locked batch, and end it if it has no jobs. Return the queue of the follow-up that this has stored."""
    await connection.execute(_CLOSE, tenant, batch_id)
    if jobs:
        return None
    row = await connection.fetchrow(END, batch_id, follow_up_id)
    return None if row is None else row[2]
