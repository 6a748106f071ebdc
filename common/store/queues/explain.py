"""Explanation of a waiting job: the conditions of the claim, and the times of its past attempts."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.timeline import AttemptTimes
from common.store.dependencies.fragments import BLOCKED, PARENTS_ENDED_AT
from common.store.jobs.claims import DUE, RUNNABLE, UNCLAIMED
from common.store.jobs.lines import OTHERS
from common.store.jobs.running_keys import PARKED, RUNNING_PREFIX
from common.store.queues.queue_state import FRONTS
from common.store.tenancy.line_index import LINE
from common.store.workers.fragments import LEASE_ALIVE

# `ahead`: the jobs of its tenant that a claim would take first. Counted from the low-water mark on, by the index and
# order of the claim by line. Who else waits is read from what the workers say, not from the jobs of other tenants.
_UNFINISHED = f"""
WITH {FRONTS},
job AS MATERIALIZED (SELECT * FROM live WHERE id = $1 AND tenant = $3),
ahead AS MATERIALIZED (
    SELECT FROM job
    CROSS JOIN generate_series(0, job.priority) AS p(priority)
    LEFT JOIN fronts f ON f.queue = job.queue AND f.priority = p.priority
    CROSS JOIN LATERAL (
        SELECT FROM live l
        WHERE {LINE.format(queue="job.queue", tenant="job.tenant")} AND l.priority = p.priority
          AND l.claimable_at >= coalesce(f.claimable_at, '-infinity') AND {UNCLAIMED} AND {DUE}
          AND l.claimable_at <= CASE WHEN p.priority < job.priority THEN now() ELSE job.claimable_at END
          AND (p.priority < job.priority OR (l.claimable_at, l.id) < (job.claimable_at, job.id))
        LIMIT $2) earlier
    LIMIT $2),
others AS MATERIALIZED (
    SELECT DISTINCT line.tenant::integer AS tenant
    FROM job CROSS JOIN workers w, jsonb_each(w.line_marks -> job.queue) AS p,
         jsonb_object_keys(p.value) AS line(tenant)
    WHERE {LEASE_ALIVE} AND line.tenant::integer NOT IN ({OTHERS}, job.tenant))
SELECT l.queue, l.priority, l.needs, now() AS now, l.started_at,
       CASE WHEN {PARKED} THEN l.due_since ELSE l.claimable_at END AS due_at,
       l.attempt - l.released AS charged, l.cancel_requested, {UNCLAIMED} AS unclaimed, {DUE} AS due,
       {PARKED} AS parked, {BLOCKED} AS blocked, l.concurrency_key IS NOT NULL AS is_limited,
       (SELECT count(*) FROM workers w WHERE {LEASE_ALIVE} AND l.queue = ANY (w.queues)) AS serving_workers,
       (SELECT count(*) FROM workers w
        WHERE {LEASE_ALIVE} AND l.queue = ANY (w.queues) AND {RUNNABLE.format(operations="w.operations")})
       AS capable_workers,
       (SELECT count(*) FROM ahead) AS ahead,
       (SELECT t.state = 'SUSPENDED' FROM tenants t WHERE t.id = l.tenant) AS suspended,
       (SELECT coalesce(t.max_running_jobs, nullif($4::bigint, 0))
        FROM tenants t WHERE t.id = l.tenant) AS most_running,
       coalesce((SELECT u.running FROM tenant_usage u WHERE u.tenant = l.tenant), 0) AS tenants_running,
       (SELECT t.weight FROM tenants t WHERE t.id = l.tenant)::float8 AS weight,
       (SELECT coalesce(sum(t.weight), 0) FROM tenants t WHERE t.id = ANY (ARRAY(SELECT tenant FROM others))
        AND t.state <> 'SUSPENDED')::float8 AS weight_of_others,
       (SELECT u.id FROM jobs j JOIN unique_keys u ON u.tenant = $3 AND u.key = '{RUNNING_PREFIX}' || j.unique_key
        WHERE j.id = $1 AND j.unique_while = 'running' AND u.id <> $1
          AND EXISTS (SELECT FROM live o WHERE o.id = u.id AND o.worker IS NOT NULL)) AS key_holder
FROM job l
"""
_ATTEMPT_TIMES = """
SELECT run, started_at, finished_at, retry_at, attempt FROM attempts WHERE id = $1 AND tenant = $3
UNION ALL
SELECT run, started_at, finished_at, NULL, attempt FROM outcomes
WHERE id = $1 AND tenant = $3 AND started_at IS NOT NULL
ORDER BY run, attempt LIMIT $2
"""
_RUN_STARTS = f"""
SELECT 0 AS run, j.created_at AS came,
       CASE WHEN j.parents IS NULL THEN coalesce(greatest(j.run_at, j.created_at), j.created_at)
            WHEN EXISTS (SELECT FROM live l WHERE l.id = j.id AND {BLOCKED}) THEN now()
            ELSE greatest(j.created_at, {PARENTS_ENDED_AT}) END AS due
FROM jobs j WHERE j.id = $1 AND j.tenant = $2
UNION ALL
SELECT r.run, r.at, CASE WHEN r.undo THEN greatest(r.at, j.run_at) ELSE r.at END
FROM runs r JOIN jobs j ON j.id = r.id WHERE r.id = $1 AND r.tenant = $2
"""
_LAST_OUTCOME = "SELECT status, finished_at FROM outcomes WHERE id = $1 AND tenant = $2 ORDER BY run DESC LIMIT 1"

UnfinishedJob = dict[str, Any]


async def unfinished_job(
    connection: asyncpg.Connection, tenant: int, job_id: UUID, count_limit: int, default_max_running_jobs: int = 0
) -> UnfinishedJob | None:
    """Return the conditions of the claim for a tenant's unfinished job; None for any other.

    The tenant's jobs ahead of it are counted up to `count_limit`. `default_max_running_jobs`: of a tenant without such
    a quota of its own; 0: no limit.
    """
    row = await connection.fetchrow(_UNFINISHED, job_id, count_limit, tenant, default_max_running_jobs)
    return None if row is None else dict(row)


async def last_outcome(connection: asyncpg.Connection, tenant: int, job_id: UUID) -> tuple[str, datetime] | None:
    """Return the status and time of a job's last outcome; None if it has none."""
    row = await connection.fetchrow(_LAST_OUTCOME, job_id, tenant)
    return None if row is None else (row["status"], row["finished_at"])


async def run_starts(connection: asyncpg.Connection, tenant: int, job_id: UUID) -> dict[int, tuple[datetime, datetime]]:
    """Return, by run, when a job was submitted and from when it was due; empty for an unknown id."""
    rows = await connection.fetch(_RUN_STARTS, job_id, tenant)
    return {row["run"]: (row["came"], row["due"]) for row in rows}


async def attempt_times(connection: asyncpg.Connection, tenant: int, job_id: UUID, limit: int) -> list[AttemptTimes]:
    """Return the first `limit` ended attempts, in order."""
    return [
        AttemptTimes(row["run"], row["started_at"], row["finished_at"], row["retry_at"])
        for row in await connection.fetch(_ATTEMPT_TIMES, job_id, limit, tenant)
    ]
