"""Reads batches for clients. The counts of one come from one statement, so from one snapshot: their sum is exact."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.batches import BatchState
from common.domain.job_search import FIRST_ID, LAST_ID
from common.store.batches.sql import FROM_PLACE, NEAR, UNSUCCESSFUL
from common.store.connection.caller import for_caller

_CALLER = "ARRAY[$1::int]"
_IN_LIVE = FROM_PLACE.format(id="l.id")
_FRONTIER_NUMBER = "('x' || right(f.id::text, 8))::bit(32)::bigint"
# Jobs are claimed about in the order of their ids. Before the frontier few are unfinished: these are counted. From it
# on few have ended: the numbers say how many jobs there are, less the outcomes; unless some numbers were not used. No
# partition of a batch is cleared on its first day.
_UNFINISHED = f"""CASE
        WHEN b.failed IS NOT NULL THEN 0
        WHEN near.count <= {NEAR} THEN near.count
        WHEN b.numbers = b.jobs AND b.gone = 0 AND NOT b.retried AND b.ended_at IS NULL
             AND b.created_at > clock_timestamp() - interval '20 h'
        THEN (SELECT (SELECT count(*) FROM live l WHERE l.id >= b.place AND l.id < f.id)
                     + b.jobs - greatest({_FRONTIER_NUMBER} - 1, 0)
                     - (SELECT count(*) FROM outcomes o WHERE o.id >= f.id AND o.id <= b.last)
              FROM (SELECT greatest(b.place, b.frontier) AS id) f)
        ELSE (SELECT count(*) FROM live l WHERE {_IN_LIVE}) END"""
_COLUMNS = """b.id, b.created_at, b.closed_at, b.ended_at, b.cancelled_at, b.jobs, b.rev, b.submitted_by, b.webhook,
    b.follow_up ->> 'operation' AS follow_up_operation, b.follow_up_job, b.cancel_action, b.is_workflow,
    b.failed IS NOT NULL AS is_at_rest"""
READ = for_caller(
    f"""
    SELECT {_COLUMNS}, clock_timestamp() AS counted_at, {_UNFINISHED} AS unfinished,
           coalesce(b.failed, f.failed) AS failed, coalesce(b.cancelled, f.cancelled) AS cancelled
    FROM batches b
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM live l WHERE b.failed IS NULL AND {_IN_LIVE} LIMIT {NEAR} + 1) AS first) near
    CROSS JOIN LATERAL ({UNSUCCESSFUL}) f
    WHERE b.id = $2 AND b.tenant = $1
    """,
    _CALLER,
)
_STATE = "CASE WHEN b.ended_at IS NOT NULL THEN 'ENDED' WHEN b.closed_at IS NULL THEN 'OPEN' ELSE 'CLOSED' END"
PAGE = f"""
WITH walked AS MATERIALIZED (
    SELECT {_COLUMNS}, {_STATE} AS state FROM batches b
    WHERE b.tenant = $1 AND b.id < $2 AND b.id >= $3 AND NOT b.is_workflow ORDER BY b.id DESC LIMIT $6)
SELECT m.*, (SELECT id FROM walked ORDER BY id LIMIT 1) AS last_scanned, (SELECT count(*) FROM walked) AS scanned
FROM (VALUES (1)) AS single(n)
LEFT JOIN LATERAL (
    SELECT * FROM walked WHERE $4::text IS NULL OR state = $4 ORDER BY id DESC LIMIT $5) m ON true
"""
_ENDED = for_caller(
    """
    SELECT d.tenant, d.id FROM unnest($2::int[], $3::uuid[]) AS d(tenant, id)
    JOIN batches b ON b.id = d.id AND b.tenant = d.tenant
    WHERE CASE WHEN b.is_workflow THEN b.failed IS NOT NULL ELSE b.ended_at IS NOT NULL END
    """
)

Record = dict[str, Any]


async def read(connection: asyncpg.Connection, tenant: int, batch_id: UUID) -> Record | None:
    """Return a tenant's batch with the counts of its jobs; None for an unknown id."""
    row = await connection.fetchrow(READ, tenant, batch_id)
    return None if row is None else dict(row)


async def page(
    connection: asyncpg.Connection,
    tenant: int,
    before: UUID | None,
    range_: tuple[UUID | None, UUID | None],
    state: BatchState | None,
    limits: tuple[int, int],
) -> tuple[list[Record], UUID | None]:
    """Return a tenant's batches that match, newest first, and the position of the next page; None: the last one.

    In a transaction that is the tenant's. `before`: the position of this page; `range_`: the lowest id, and the id
    above the highest; `limits`: the most batches of a page, and the most rows that it reads.
    """
    first, end = range_
    upper = min(before or LAST_ID, end or LAST_ID)
    rows = await connection.fetch(PAGE, tenant, upper, first or FIRST_ID, state, *limits)
    batches = [dict(row) for row in rows if row["id"] is not None]
    if len(batches) == limits[0]:
        return batches, batches[-1]["id"]
    return batches, rows[0]["last_scanned"] if rows[0]["scanned"] == limits[1] else None


async def ended(connection: asyncpg.Connection, wanted: Collection[tuple[int, UUID]]) -> set[tuple[int, UUID]]:
    """Return those of the wanted batches, by tenant and id, that have ended."""
    tenants = sorted({tenant for tenant, _ in wanted})
    rows = await connection.fetch(_ENDED, tenants, [tenant for tenant, _ in wanted], [id_ for _, id_ in wanted])
    return {(row[0], UUID(int=row[1].int)) for row in rows}


def has_ended(row: Record) -> bool:
    """Return True if the follow-up of a batch has been stored, or would have been; of a workflow, if it is at rest."""
    if row["is_workflow"]:
        return bool(row["is_at_rest"])
    ended_at: datetime | None = row["ended_at"]
    return ended_at is not None
