"""Insert new jobs, any number in one statement."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from common.domain.job import ConcurrencyKey, HeldWhile, NewJob, RunningKey
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.connection.caller import array
from common.store.jobs.fragments import (
    INSERT,
    INSERT_NODES,
    INSERT_WITH_OPTIONS,
    INSERT_WITH_RUNNING_KEYS,
    job_row,
)

if TYPE_CHECKING:  # the controller, which runs the same statements, does without it
    import asyncpg


async def insert_jobs(
    connection: "asyncpg.Connection",
    jobs: Sequence[NewJob],
    timeout_s: float | None = None,
    *,
    tenants: Collection[int] = (DEFAULT_TENANT,),
) -> None:
    """Insert the jobs of callers of some tenants, all or none; safe to repeat with the same jobs.

    `timeout_s`: the server's limit instead of the connection's. It is sent in one message with the statement, so that a
    pooler cannot run the two in different sessions. Raises asyncpg.CheckViolationError if a job's partition is missing.
    """
    with_options = INSERT_WITH_RUNNING_KEYS if may_be_parked(jobs) else INSERT_WITH_OPTIONS
    if jobs and (options := jobs[0].options) is not None and options.dependencies is not None:
        with_options = INSERT_NODES  # of a submission all or none are jobs of workflows
    if timeout_s is not None:
        limit = f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))};"
        # In dollars a backslash is itself, whatever the database has for standard_conforming_strings.
        literals = {"jobs": f"$${json_literal(jobs)}$$", "tenants": f"'{array(tenants)}'"}
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


def running_keys_of(jobs: Sequence[NewJob]) -> set[RunningKey]:
    """Return the unique keys that jobs hold while they run."""
    return {
        RunningKey(job.tenant, unique.key)
        for job in jobs
        if job.options is not None
        and (unique := job.options.unique) is not None
        and unique.held_while is HeldWhile.RUNNING
    }


def concurrency_keys_of(jobs: Sequence[NewJob]) -> set[ConcurrencyKey]:
    """Return the concurrency keys of jobs."""
    return {
        ConcurrencyKey(job.tenant, job.queue, job.options.concurrency_key)
        for job in jobs
        if job.options is not None and job.options.concurrency_key is not None
    }


def may_be_parked(jobs: Sequence[NewJob]) -> bool:
    """Return True if some jobs have a key for which they may have to wait."""
    return bool(running_keys_of(jobs) or concurrency_keys_of(jobs))


async def insert_storable_jobs(
    connection: "asyncpg.Connection",
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
    from common.store.connection.asyncpg_pool import is_outage

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
    import asyncpg

    return isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None  # other checks have a name


def _halves(jobs: Sequence[NewJob]) -> list[Sequence[NewJob]]:
    """Return the parts of jobs that are not empty, the second half first."""
    middle = (len(jobs) + 1) // 2
    return [part for part in (jobs[middle:], jobs[:middle]) if part]


def json_literal(jobs: Sequence[NewJob]) -> str:
    """Return the jobs as JSON without dollars, which is safe inside an SQL literal in dollars."""
    return orjson.dumps([job_row(job) for job in jobs]).decode().replace("$", "\\u0024")
