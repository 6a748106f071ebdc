"""Store new jobs: any number in one statement."""

from collections.abc import Sequence

import asyncpg

from common.domain.job import NewJob

# Ids are chosen before, so a repeat after a lost answer stores nothing twice: rows of `live` follow only new rows of `jobs`.
_INSERT = """
WITH new AS (
    INSERT INTO jobs (id, operation, queue, input, max_attempts, timeout_ms, priority, trace)
    SELECT d.id, d.operation, d.queue, d.input::json, d.max_attempts, d.timeout_ms, d.priority, d.trace
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::integer[], $7::smallint[], $8::text[])
      AS d(id, operation, queue, input, max_attempts, timeout_ms, priority, trace)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, queue, priority, max_attempts, run_at)
INSERT INTO live (id, queue, priority, max_attempts, pos)
SELECT id, queue, priority, max_attempts, greatest(run_at, clock_timestamp()) FROM new
"""


async def insert(connection: asyncpg.Connection, jobs: Sequence[NewJob], within_s: float | None = None) -> None:
    """Store the jobs, all or none; safe to repeat with the same jobs. Raises asyncpg.CheckViolationError without a partition.

    `within_s`: a tighter limit than the connection's, kept by the server; costs a transaction of more than one statement.
    """
    if within_s is not None:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(within_s * 1000))}")
            await insert(connection, jobs)
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
