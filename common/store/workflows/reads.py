"""Reads the graph of a workflow: folded by operation, or job by job in pages."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.batches import last_job_id
from common.domain.job_search import FIRST_ID, LAST_ID
from common.domain.workflows import WorkflowState

MAX_NAMED_PARENTS = 100  # of one job in a page
Record = dict[str, Any]
_STATE = f"""CASE WHEN b.failed IS NULL THEN '{WorkflowState.RUNNING}' WHEN b.failed > 0 THEN '{WorkflowState.FAILED}'
    WHEN b.cancelled > 0 THEN '{WorkflowState.CANCELLED}' ELSE '{WorkflowState.SUCCEEDED}' END"""
_PAGE = f"""
WITH walked AS MATERIALIZED (
    SELECT b.id, b.created_at, b.ended_at, b.cancelled_at, b.jobs, b.submitted_by, b.is_workflow,
           b.follow_up ->> 'operation' AS follow_up_operation, b.follow_up_job, {_STATE} AS state
    FROM batches b
    WHERE b.tenant = $1 AND b.id < $2 AND b.id >= $3 ORDER BY b.id DESC LIMIT $6)
SELECT m.*, (SELECT id FROM walked ORDER BY id LIMIT 1) AS last_scanned, (SELECT count(*) FROM walked) AS scanned
FROM (VALUES (1)) AS single(n)
LEFT JOIN LATERAL (
    SELECT * FROM walked WHERE is_workflow AND ($4::text IS NULL OR state = $4) ORDER BY id DESC LIMIT $5) m ON true
"""
# The statements are part of a transaction that is the tenant's.
_FOLDED = """
SELECT operation, status, count(*) AS jobs FROM job_states WHERE tenant = $1 AND id > $2 AND id <= $3
GROUP BY 1, 2 ORDER BY min(id::text)
"""
# Jobs of a layer often have the same parents: these are looked up once.
_EDGES = """
WITH waiting AS MATERIALIZED (
    SELECT operation, parents, count(*) AS jobs FROM jobs
    WHERE tenant = $1 AND id > $2 AND id <= $3 AND parents IS NOT NULL GROUP BY 1, 2),
edges AS (
    SELECT w.operation, p.operation AS parent, w.jobs
    FROM waiting w CROSS JOIN LATERAL unnest(w.parents) AS parent(id)
    CROSS JOIN LATERAL (SELECT operation FROM jobs WHERE jobs.id = parent.id OFFSET 0) p)
SELECT parent, operation AS child, sum(jobs)::bigint AS count FROM edges GROUP BY 1, 2 ORDER BY 1, 2
"""
_NODES = f"""
SELECT j.id, j.node, j.operation, j.on_parent_failure, s.status, s.due_at, s.started_at, s.finished_at, s.attempt,
       s.error_type, coalesce(cardinality(j.parents), 0) + coalesce(added.count, 0) AS parents,
       (SELECT array_agg(p.node ORDER BY p.id) FROM (
            SELECT n.id, n.node FROM unnest(j.parents[1:{MAX_NAMED_PARENTS}]) AS parent(id)
            CROSS JOIN LATERAL (SELECT id, node FROM jobs WHERE jobs.id = parent.id OFFSET 0) n) p) AS depends_on
FROM (SELECT * FROM jobs WHERE tenant = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4) j
CROSS JOIN LATERAL (SELECT * FROM job_states WHERE job_states.id = j.id OFFSET 0) s
LEFT JOIN LATERAL (
    SELECT sum(cardinality(a.parents)) AS count FROM added_parents a WHERE a.child = j.id) added ON true
ORDER BY j.id
"""
_BLOCKERS = """
WITH job AS MATERIALIZED (
    SELECT j.id, j.on_parent_failure, j.parents || (
        SELECT array_agg(parent.id) FROM added_parents a CROSS JOIN LATERAL unnest(a.parents) AS parent(id)
        WHERE a.child = j.id) AS parents
    FROM jobs j WHERE j.id = $2 AND j.tenant = $1)
SELECT parent.id, p.node, s.status, count(*) OVER () AS unfinished, cardinality(job.parents) AS parents,
       job.on_parent_failure
FROM job CROSS JOIN LATERAL unnest(job.parents) AS parent(id)
JOIN live a ON a.id = parent.id
CROSS JOIN LATERAL (SELECT node FROM jobs WHERE jobs.id = parent.id OFFSET 0) p
CROSS JOIN LATERAL (SELECT status FROM job_states WHERE job_states.id = parent.id OFFSET 0) s
ORDER BY s.status = 'BLOCKED', parent.id LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class FoldedGraph:
    """The jobs of a workflow by operation."""

    operations: dict[str, dict[str, int]]  #: by operation: jobs by state
    edges: list[tuple[str, str, int]]  #: operation of the parent, of the child, dependencies


async def page(
    connection: asyncpg.Connection,
    tenant: int,
    before: UUID | None,
    range_: tuple[UUID | None, UUID | None],
    state: WorkflowState | None,
    limits: tuple[int, int],
) -> tuple[list[Record], UUID | None]:
    """Return a tenant's workflows that match, newest first, and the position of the next page; None: the last one.

    `before`: the position of this page; `range_`: the lowest id, and the id above the highest; `limits`: the most
    workflows of a page, and the most batches and workflows that it reads.
    """
    first, end = range_
    upper = min(before or LAST_ID, end or LAST_ID)
    rows = await connection.fetch(_PAGE, tenant, upper, first or FIRST_ID, state, *limits)
    found = [dict(row) for row in rows if row["id"] is not None]
    if len(found) == limits[0]:
        return found, found[-1]["id"]
    return found, rows[0]["last_scanned"] if rows[0]["scanned"] == limits[1] else None


async def folded(connection: asyncpg.Connection, tenant: int, workflow_id: UUID) -> FoldedGraph:
    """Return the graph of a tenant's workflow by operation, in the order in which the operations come first."""
    arguments = (tenant, workflow_id, last_job_id(workflow_id))
    operations: dict[str, dict[str, int]] = {}
    for row in await connection.fetch(_FOLDED, *arguments):
        operations.setdefault(row["operation"], {})[row["status"]] = row["jobs"]
    edges = await connection.fetch(_EDGES, *arguments)
    return FoldedGraph(operations, [(row["parent"], row["child"], row["count"]) for row in edges])


async def nodes(
    connection: asyncpg.Connection, tenant: int, workflow_id: UUID, after: UUID | None, limit: int
) -> list[Record]:
    """Return the next jobs of a tenant's workflow, in the order of their ids: parents come first."""
    rows = await connection.fetch(_NODES, tenant, after or workflow_id, last_job_id(workflow_id), limit)
    return [dict(row) for row in rows]


async def blockers(connection: asyncpg.Connection, tenant: int, job_id: UUID, limit: int) -> list[Record]:
    """Return parents of a tenant's job that have not ended, at most `limit`; those that wait themselves come last."""
    return [dict(row) for row in await connection.fetch(_BLOCKERS, tenant, job_id, limit)]
