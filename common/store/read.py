"""Read jobs: each answer from one statement, so from one moment."""

from typing import Any
from uuid import UUID

import asyncpg

from common.store.claims import INPUT

_RESULT = "SELECT status, result::text FROM job_states WHERE id = $1"
_JOB = f"""
SELECT t.id, t.queue, t.operation, t.status, t.priority, t.epoch, t.attempt, t.max_attempts, t.timeout_ms, t.created_at, t.due_at, t.started_at,
       t.finished_at, t.progress, t.progress_text, t.result::text, t.error_type, t.error_text,
       CASE t.epoch WHEN 0 THEN j.input ELSE {INPUT} END::text AS input,
       coalesce((SELECT l.cancel FROM live l WHERE l.id = t.id), false) AS cancel
FROM job_states t JOIN jobs j ON j.id = t.id WHERE t.id = $1
"""
_ATTEMPTS = """
SELECT epoch, attempt, worker, started_at, ended_at, retry_at, ended, error_type, error_text FROM attempts WHERE id = $1
UNION ALL
SELECT epoch, attempt, worker, started_at, finished_at, NULL, lower(status), error_type, error_text FROM outcomes
WHERE id = $1 AND started_at IS NOT NULL
ORDER BY 1, 2
LIMIT $2
"""
_READY = "SELECT (SELECT version_num FROM alembic_version), extract(epoch FROM clock_timestamp())::float8"

Record = dict[str, Any]


async def result(connection: asyncpg.Connection, job_id: UUID) -> tuple[str, str | None] | None:
    """Return a job's status and result (JSON text), None for an unknown id."""
    row = await connection.fetchrow(_RESULT, job_id)
    return None if row is None else (row[0], row[1])


async def job(connection: asyncpg.Connection, job_id: UUID) -> Record | None:
    """Return everything that is known of a job, None for an unknown id."""
    row = await connection.fetchrow(_JOB, job_id)
    return None if row is None else dict(row)


async def attempts(connection: asyncpg.Connection, job_id: UUID, most: int) -> list[Record]:
    """Return the attempts of a job that have ended, first to last, at most so many."""
    return [dict(row) for row in await connection.fetch(_ATTEMPTS, job_id, most)]


async def readiness(connection: asyncpg.Connection) -> tuple[str | None, float]:
    """Return the revision of the schema and the database's clock in Unix seconds."""
    row = await connection.fetchrow(_READY)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return row[0], row[1]
