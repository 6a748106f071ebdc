"""Why a job is not running, by the predicates of the claim, and what it has waited for."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.timeline import AttemptTimes
from common.store.jobs.claims import DUE, LEASE_ALIVE, RUNNABLE, UNCLAIMED
from common.store.jobs.running_keys import RUNNING_PREFIX
from common.store.queues.queue_state import FRONTS

# Those before it are what a claim would take first: from the low water on, as a claim looks, whose index and order these are.
_UNFINISHED = f"""
WITH {FRONTS},
me AS MATERIALIZED (SELECT * FROM live WHERE id = $1),
ahead AS MATERIALIZED (
    SELECT FROM me
    CROSS JOIN generate_series(0, me.priority) AS p(priority)
    LEFT JOIN fronts f ON f.queue = me.queue AND f.priority = p.priority
    CROSS JOIN LATERAL (
        SELECT FROM live l
        WHERE l.queue = me.queue AND l.priority = p.priority AND l.pos >= coalesce(f.pos, '-infinity') AND {UNCLAIMED} AND {DUE}
          AND l.pos <= CASE WHEN p.priority < me.priority THEN now() ELSE me.pos END
          AND (p.priority < me.priority OR (l.pos, l.id) < (me.pos, me.id))
        LIMIT $2) one
    LIMIT $2)
SELECT l.queue, l.priority, l.needs, l.pos AS due_at, now() AS now, l.started_at, l.attempt - l.released AS charged, l.cancel,
       {UNCLAIMED} AS unheld, {DUE} AS due,
       (SELECT count(*) FROM workers w WHERE {LEASE_ALIVE} AND l.queue = ANY (w.queues)) AS serving,
       (SELECT count(*) FROM workers w WHERE {LEASE_ALIVE} AND l.queue = ANY (w.queues) AND {RUNNABLE.format(operations="w.operations")}) AS knowing,
       (SELECT count(*) FROM ahead) AS ahead,
       (SELECT u.id FROM jobs j JOIN uniq u ON u.tenant = 1 AND u.key = '{RUNNING_PREFIX}' || j.unique_key
        WHERE j.id = $1 AND j.unique_while = 'running' AND u.id <> $1 AND EXISTS (SELECT FROM live o WHERE o.id = u.id AND o.worker IS NOT NULL)) AS beside
FROM me l
"""
_ATTEMPT_TIMES = """
SELECT epoch, started_at, ended_at, retry_at, attempt FROM attempts WHERE id = $1
UNION ALL
SELECT epoch, started_at, finished_at, NULL, attempt FROM outcomes WHERE id = $1 AND started_at IS NOT NULL
ORDER BY epoch, attempt LIMIT $2
"""
_RUN_STARTS = """
SELECT 0 AS epoch, created_at AS came, coalesce(greatest(run_at, created_at), created_at) AS due FROM jobs WHERE id = $1
UNION ALL
SELECT r.epoch, r.at, CASE WHEN r.undo THEN greatest(r.at, j.run_at) ELSE r.at END FROM reruns r JOIN jobs j ON j.id = r.id WHERE r.id = $1
"""
_LAST_OUTCOME = "SELECT status, finished_at FROM outcomes WHERE id = $1 ORDER BY epoch DESC LIMIT 1"

UnfinishedJob = dict[str, Any]


async def unfinished_job(connection: asyncpg.Connection, job_id: UUID, count_limit: int) -> UnfinishedJob | None:
    """Return what holds and what does not of a job that is not finished, None for another. Jobs before it are counted up to cap."""
    row = await connection.fetchrow(_UNFINISHED, job_id, count_limit)
    return None if row is None else dict(row)


async def last_outcome(connection: asyncpg.Connection, job_id: UUID) -> tuple[str, datetime] | None:
    """Return how and when a job last ended, None when it never has."""
    row = await connection.fetchrow(_LAST_OUTCOME, job_id)
    return None if row is None else (row["status"], row["finished_at"])


async def run_starts(connection: asyncpg.Connection, job_id: UUID) -> dict[int, tuple[datetime, datetime]]:
    """Return, by epoch, when a job came and from when it could run; empty for an unknown one."""
    return {row["epoch"]: (row["came"], row["due"]) for row in await connection.fetch(_RUN_STARTS, job_id)}


async def attempt_times(connection: asyncpg.Connection, job_id: UUID, limit: int) -> list[AttemptTimes]:
    """Return the attempts that have ended, first to last, at most so many."""
    return [AttemptTimes(row["epoch"], row["started_at"], row["ended_at"], row["retry_at"]) for row in await connection.fetch(_ATTEMPT_TIMES, job_id, limit)]
