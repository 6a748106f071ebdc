"""The retry of the failed part of a workflow, as clients request it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.batches import last_job_id
from common.domain.errors import WorkflowNotFound, WorkflowRunning
from common.domain.tenancy.audit import AuditEntry
from common.store.connection.caller import for_caller, set_caller
from common.store.dependencies.resolve import HEIRS_OF_CALLER, RESOLVE_OF_CALLER
from common.store.jobs.fragments import HAS_INPUT, NEEDS, NEXT_RUN_AT, NEXT_RUN_VERSION, RUNNING_KEY
from common.store.tenancy import audit

RESOLVED_JOBS = 1_000  # in one transaction, about 20 ms
MAX_RESOLVED = 20_000  # of one request; the controller asks for the others

# Two retries at once: the second one waits here, and finds the jobs of the first. So does a manual retry of one job,
# which changes the row last. The statements that follow are part of the transaction in which this one sets the tenant.
_LOCK = for_caller(
    """SELECT b.cancel_action IS NOT NULL AND EXISTS (
           SELECT FROM bulk_actions a WHERE a.id = b.cancel_action AND a.phase = 'RUNNING') AS is_cancelling
    FROM batches b WHERE b.id = $2 AND b.tenant = $1 AND b.is_workflow FOR UPDATE""",
    "ARRAY[$1::int]",
)
_HAS_LIVE = "SELECT EXISTS (SELECT FROM live WHERE id > $1 AND id <= $2)"
# Jobs that a manual retry has locked are left to that one: it waits for the row of the workflow.
_RETRY = f"""
WITH failed AS MATERIALIZED (
    SELECT o.id, o.run, o.rev FROM outcomes o
    WHERE o.tenant = $1 AND o.status <> 'SUCCESS' AND o.id > $2 AND o.id <= $3 AND o.run < 32767
      AND NOT EXISTS (SELECT FROM outcomes n WHERE n.id = o.id AND n.run > o.run)),
again AS MATERIALIZED (
    SELECT f.id, f.run, f.rev FROM failed f JOIN jobs j ON j.id = f.id
    WHERE {HAS_INPUT.format(id="f.id")} ORDER BY j.id FOR NO KEY UPDATE OF j SKIP LOCKED),
new AS (
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, run, rev, needs, running_key)
    SELECT j.id, j.tenant, j.queue, j.priority, j.max_attempts, {NEXT_RUN_AT}, a.run + 1, a.rev + 1,
           {NEEDS.format(operation="j.operation", version="j.needed")}, {RUNNING_KEY}
    FROM again a
    CROSS JOIN LATERAL (SELECT j.*, {NEXT_RUN_VERSION} AS needed FROM jobs j WHERE j.id = a.id OFFSET 0) j
    ON CONFLICT (id) DO NOTHING
    RETURNING id, tenant, run, queue, claimable_at),
run_rows AS (INSERT INTO runs (id, tenant, run) SELECT id, tenant, run FROM new),
reactivated AS (
    UPDATE batches SET retried = true, failed = NULL, cancelled = NULL, cancelled_at = NULL, rev = rev + 1, place = id
    WHERE id = $2 AND tenant = $1 AND EXISTS (SELECT FROM new))
SELECT id, queue, claimable_at = 'infinity' AS is_blocked FROM new ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class WorkflowRetry:
    """The outcome of a retry."""

    jobs: int  #: that live again; 0: all have succeeded
    queues: frozenset[str]  #: queues with jobs that may run now
    blocked: list[UUID]  #: jobs that wait for others, to be asked for


async def retry(connection: asyncpg.Connection, tenant: int, workflow_id: UUID, entry: AuditEntry) -> WorkflowRetry:
    """Begin another run of all jobs of a workflow at rest that have not succeeded, and store the audit entry. Atomic.

    Raises WorkflowNotFound, or WorkflowRunning while a job is unfinished, or a cancel is not done.
    """
    last = last_job_id(workflow_id)
    async with connection.transaction():
        row = await connection.fetchrow(_LOCK, tenant, workflow_id)
        if row is None:
            raise WorkflowNotFound
        if row["is_cancelling"] or await connection.fetchval(_HAS_LIVE, workflow_id, last):
            raise WorkflowRunning
        rows = await connection.fetch(_RETRY, tenant, workflow_id, last)
        if rows:
            await audit.record(connection, entry)
    return WorkflowRetry(
        len(rows),
        frozenset(row["queue"] for row in rows if not row["is_blocked"]),
        [row["id"] for row in rows if row["is_blocked"]],
    )


async def resolve(connection: asyncpg.Connection, tenant: int, ids: Sequence[UUID]) -> set[str]:
    """Decide about a tenant's jobs that wait, and about those that wait for the ones which this ends.

    To be called after the commit that has made them wait, or has ended a parent. Return the queues of jobs that may
    run. What is more than MAX_RESOLVED is left to the controller.
    """
    queues, asked, wanted = set[str](), 0, list(ids)
    while wanted and asked < MAX_RESOLVED:
        part, wanted = wanted[:RESOLVED_JOBS], wanted[RESOLVED_JOBS:]
        asked += len(part)
        async with connection.transaction():
            await connection.execute(f"SELECT {set_caller([tenant])}")
            rows = await connection.fetch(RESOLVE_OF_CALLER, part)
            queues |= {row[2] for row in rows if row[1] == "run"}
            if ended := [row[0] for row in rows if row[1] is not None and row[1] != "run"]:
                wanted += [UUID(row[0]) for row in await connection.fetch(HEIRS_OF_CALLER, ended)]
    return queues
