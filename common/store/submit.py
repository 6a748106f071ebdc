"""Store new jobs: any number in one statement."""

import json
from collections.abc import Sequence

import asyncpg

from common.domain.job import NewJob

# Ids are chosen before, so a repeat after a lost answer stores nothing twice: rows of `live` follow only new rows of `jobs`.
_INTO = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, timeout_ms, priority, trace)
    SELECT d.id, d.operation, d.queue, d.input::json, d.max_attempts, d.timeout_ms, d.priority, d.trace
    FROM {rows}
    ON CONFLICT (id) DO NOTHING
    RETURNING id, queue, priority, max_attempts, run_at)
INSERT INTO live (id, queue, priority, max_attempts, pos)
SELECT id, queue, priority, max_attempts, greatest(run_at, clock_timestamp()) FROM new
"""
_INSERT = _INTO.format(
    rows="""unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::integer[], $7::smallint[], $8::text[])
      AS d(id, operation, queue, input, max_attempts, timeout_ms, priority, trace)"""
)
_INSERT_WITHIN = "SET LOCAL statement_timeout = {ms};" + _INTO.format(
    rows="""json_to_recordset('{jobs}')
      AS d(id uuid, operation text, queue text, input text, max_attempts smallint, timeout_ms integer, priority smallint, trace text)"""
)


async def insert(connection: asyncpg.Connection, jobs: Sequence[NewJob], within_s: float | None = None) -> None:
    """Store the jobs, all or none; safe to repeat with the same jobs. Raises asyncpg.CheckViolationError without a partition.

    `within_s`: a limit that the server keeps, instead of the connection's; it comes in the same message, so that a pooler cannot part them.
    """
    if within_s is not None:
        await connection.execute(_INSERT_WITHIN.format(ms=max(1, round(within_s * 1000)), jobs=_literal(jobs)))
        return
    await connection.execute(
        _INSERT,
        [job.id for job in jobs],
        [job.operation for job in jobs],
        [job.queue for job in jobs],
        [job.input for job in jobs],
        [job.max_attempts for job in jobs],
        [job.timeout_ms for job in jobs],
        [job.priority for job in jobs],
        [job.trace for job in jobs],
    )


def _literal(jobs: Sequence[NewJob]) -> str:
    """Return the jobs as JSON in ASCII that has no apostrophe, so nothing in it can end the literal that it stands in."""
    return json.dumps([dict(zip(_NAMES, _values(job), strict=True)) for job in jobs]).replace("'", "\\u0027")


_NAMES = ("id", "operation", "queue", "input", "max_attempts", "timeout_ms", "priority", "trace")


def _values(job: NewJob) -> tuple[object, ...]:
    return str(job.id), job.operation, job.queue, job.input, job.max_attempts, job.timeout_ms, job.priority, job.trace
