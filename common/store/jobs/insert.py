"""Insert new jobs, any number in one statement."""

from collections.abc import Collection, Sequence
from uuid import UUID

import asyncpg

from common.domain.job import NewJob
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.connection.asyncpg_pool import is_outage
from common.store.connection.caller import array
from common.store.jobs.insert_statements import INSERT, insert_with_options, json_literal


async def insert_jobs(
    connection: asyncpg.Connection,
    jobs: Sequence[NewJob],
    timeout_s: float | None = None,
    *,
    tenants: Collection[int] = (DEFAULT_TENANT,),
) -> None:
    """Insert the jobs of callers of some tenants, all or none; safe to repeat with the same jobs.

    `timeout_s`: the server's limit instead of the connection's. It is sent in one message with the statement, so that a
    pooler cannot run the two in different sessions. Raises asyncpg.CheckViolationError if a job's partition is missing.
    """
    with_options = insert_with_options(jobs)
    if timeout_s is not None:
        limit = f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))};"
        literals = {"jobs": f"'{json_literal(jobs)}'", "tenants": f"'{array(tenants)}'"}
        await connection.execute(limit + with_options.format(**literals))
        return
    if any(job.options is not None for job in jobs):
        await connection.execute(with_options.format(jobs="$1::json", tenants="$2"), json_literal(jobs), tenants)
        return
    await connection.execute(
        INSERT,
        [job.id for job in jobs],
        [job.operation for job in jobs],
        [job.queue for job in jobs],
        [job.input for job in jobs],
        [job.max_attempts for job in jobs],
        [job.timeout_ms for job in jobs],
        [job.priority for job in jobs],
        [job.trace for job in jobs],
        [job.version for job in jobs],
        [job.tenant for job in jobs],
        [job.submitted_by for job in jobs],
        tenants,
    )


async def insert_storable_jobs(
    connection: asyncpg.Connection,
    jobs: Sequence[NewJob],
    timeout_s: float | None = None,
    *,
    tenants: Collection[int] = (DEFAULT_TENANT,),
) -> dict[UUID, Exception]:
    """Insert jobs in one transaction, without those that PostgreSQL refuses; return the error of each of these by id.

    A part that is refused is halved until its refused jobs are alone. So one refused job of a thousand takes twenty
    statements, the rows of which are twice the jobs. Safe to repeat with the same jobs. `timeout_s` limits each
    statement. Raises asyncpg.CheckViolationError if a job's partition is missing, and what `is_outage` finds.
    """
    refused: dict[UUID, Exception] = {}
    async with connection.transaction():
        if timeout_s is not None:
            await connection.execute(f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))}")
        parts = _halves(jobs)  # the first part is the last one
        while parts:
            part = parts.pop()
            try:
                async with connection.transaction():  # a savepoint
                    await insert_jobs(connection, part, tenants=tenants)
            except Exception as error:
                if is_outage(error) or is_partition_missing(error):
                    raise
                if len(part) == 1:
                    refused[part[0].id] = error
                else:
                    parts += _halves(part)
    return refused


def is_partition_missing(error: Exception) -> bool:
    """Return True if PostgreSQL refused an insert because the partition of a row is missing."""
    return isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None  # other checks have a name


def _halves(jobs: Sequence[NewJob]) -> list[Sequence[NewJob]]:
    """Return the parts of jobs that are not empty, the second half first."""
    middle = (len(jobs) + 1) // 2
    return [part for part in (jobs[middle:], jobs[:middle]) if part]
