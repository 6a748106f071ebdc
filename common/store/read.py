"""Read jobs: each answer from one statement, so from one moment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.states import TERMINAL

_RESULT = "SELECT status, result::text FROM job_states WHERE id = $1"
# Not with the looks of thousands of clients: hundreds of great results at once. As it is stored, so compressed.
LARGE_BYTES = 2_048
_STATUS = "SELECT status, progress, progress_text FROM job_states WHERE id = $1"
# OFFSET 0 keeps the look-up by id: it prunes partitions.
_SEEN = f"""
SELECT d.id::text, s.epoch, s.rev, s.status, s.attempt, s.progress, s.progress_text,
       CASE WHEN pg_column_size(s.result) <= {LARGE_BYTES} THEN s.result::text END, coalesce(pg_column_size(s.result) > {LARGE_BYTES}, false)
FROM unnest($1::uuid[]) AS d(id)
CROSS JOIN LATERAL (SELECT * FROM job_states WHERE job_states.id = d.id OFFSET 0) s
"""
_JOB = """
SELECT s.id, s.queue, s.operation, s.status, s.priority, s.attempt, s.max_attempts, s.timeout_ms, s.created_at, s.due_at, s.started_at,
       s.finished_at, s.progress, s.progress_text, s.result::text, s.error_type, s.error_text, j.input::text
FROM job_states s JOIN jobs j ON j.id = s.id WHERE s.id = $1
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


@dataclass(frozen=True, slots=True)
class Seen:
    """A job as those see it who wait for it."""

    epoch: int
    rev: int
    status: str
    attempt: int
    progress: float | None
    progress_text: str | None
    result: str | None  #: JSON text; None where there is none, and where it is large
    large: bool = False  #: its result is to be read alone

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL


async def seen(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[str, Seen]:
    """Return jobs by their id; unknown ones are not there. Bounded by the caller.

    Planned anew: a plan that was made while a table was empty walks all of it, here once for each id.
    """
    statement = await connection.prepare(_SEEN, name="")
    return {row[0]: Seen(*row[1:]) for row in (tuple(one) for one in await statement.fetch(job_ids))}


async def status(connection: asyncpg.Connection, job_id: UUID) -> tuple[str, float | None, str | None] | None:
    """Return a job's status and the progress of its running attempt, None for an unknown id."""
    row = await connection.fetchrow(_STATUS, job_id)
    return None if row is None else (row[0], row[1], row[2])


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
