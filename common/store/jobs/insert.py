"""Insert new jobs, any number in one statement."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

import orjson

from common.domain.job import HeldWhile, NewJob, Options, RunningKey
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.connection.caller import array, caller_cte
from common.store.jobs.fragments import NEEDS
from common.store.jobs.running_keys import MUST_WAIT
from common.store.retention.per_job import FIRST_CHECK_AT

if TYPE_CHECKING:  # the controller, which runs the same statements, does without it
    import asyncpg

_NAMES = (
    *("id", "operation", "queue", "input", "max_attempts", "timeout_ms", "priority", "trace", "version", "tenant"),
    "submitted_by",
)
_ARRAYS = f"""unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::smallint[], $6::integer[], $7::smallint[],
                    $8::text[], $9::smallint[], $10::integer[], $11::text[])
    AS d({", ".join(_NAMES)})"""
_RECORDS = """json_to_recordset({jobs})
    AS d(id uuid, operation text, queue text, input text, max_attempts smallint, timeout_ms integer, priority smallint,
         trace text, version smallint, tenant integer, submitted_by text, run_at timestamptz, delay_s float8,
         retry_base_s float8, retry_cap_s float8, keep_s integer, deadline timestamptz, tags text[], metadata json,
         unique_key text, unique_while text)"""
_REQUIRED = {name: f"d.{name}" for name in _NAMES}
_OPTIONAL = {
    name: f"d.{name}"
    for name in ("retry_base_s", "retry_cap_s", "keep_s", "deadline", "tags", "metadata", "unique_key", "unique_while")
}
# Rows of other tables for options that few jobs have.
_SIDE_TABLES = f""",
deadline_rows AS (
    INSERT INTO deadlines (id, tenant, at) SELECT id, tenant, deadline FROM new WHERE deadline IS NOT NULL),
tag_rows AS (INSERT INTO tags (id, tenant, tag) SELECT id, tenant, unnest(tags) FROM new WHERE tags IS NOT NULL),
expiry_rows AS (
    INSERT INTO expiries (id, tenant, at) SELECT id, tenant, {FIRST_CHECK_AT} FROM new WHERE keep_s IS NOT NULL)"""


_NEEDS = NEEDS.format(operation="operation", version="version")
_LIVE = f"""
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs)
    SELECT id, tenant, queue, priority, max_attempts, greatest(run_at, clock_timestamp()),
           {_NEEDS}
    FROM new
"""
# Jobs that have to wait for a key that is held while they run are parked at once, so they cost one write.
_LIVE_WITH_RUNNING_KEYS = f""",
    keyed AS MATERIALIZED (
        SELECT id, tenant, queue, priority, max_attempts, {_NEEDS} AS needs,
               greatest(run_at, clock_timestamp()) AS due_at, coalesce(run_at <= clock_timestamp(), true) AS is_due,
               CASE unique_while WHEN 'running' THEN unique_key END AS running_key
        FROM new),
    placed AS MATERIALIZED (
        SELECT d.*, {MUST_WAIT} AS must_wait
        FROM (SELECT *, row_number() OVER (
                  PARTITION BY tenant, running_key, queue, needs, is_due ORDER BY priority, due_at, id) AS place
              FROM keyed) d)
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs, running_key, due_since)
    SELECT id, tenant, queue, priority, max_attempts, CASE WHEN must_wait THEN 'infinity' ELSE due_at END, needs,
           running_key, CASE WHEN must_wait THEN due_at END
    FROM placed
"""


def _insert_statement(
    tenants: str, rows: str, values: Mapping[str, str], side_tables: str = "", live: str = _LIVE, returned: str = ""
) -> str:
    # The caller chooses the ids, so a repeat after a lost answer inserts nothing: `live` gets rows only for new rows of
    # `jobs`.
    return f"""
    WITH {caller_cte(tenants)},
    new AS (
        INSERT INTO jobs ({", ".join(values)}) SELECT {", ".join(values.values())} FROM caller CROSS JOIN {rows}
        ON CONFLICT (id) DO NOTHING
        RETURNING id, tenant, queue, priority, max_attempts, run_at, operation, version, deadline, tags,
                  keep_s{returned})
        {side_tables}{live}"""


_INSERT = _insert_statement("$12", _ARRAYS, _REQUIRED)
_RUN_AT = "coalesce(d.run_at, clock_timestamp() + d.delay_s * interval '1 s')"
_ALL = _REQUIRED | _OPTIONAL | {"input": "d.input::json", "created_at": "clock_timestamp()", "run_at": _RUN_AT}
INSERT_WITH_OPTIONS = _insert_statement("{tenants}", _RECORDS, _ALL, _SIDE_TABLES)
INSERT_WITH_RUNNING_KEYS = _insert_statement(
    "{tenants}", _RECORDS, _ALL, _SIDE_TABLES, _LIVE_WITH_RUNNING_KEYS, ", unique_key, unique_while"
)


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
    with_options = INSERT_WITH_RUNNING_KEYS if running_keys_of(jobs) else INSERT_WITH_OPTIONS
    if timeout_s is not None:
        limit = f"SET LOCAL statement_timeout = {max(1, round(timeout_s * 1000))};"
        literals = {"jobs": f"'{json_literal(jobs)}'", "tenants": f"'{array(tenants)}'"}
        await connection.execute(limit + with_options.format(**literals))
        return
    if any(job.options is not None for job in jobs):
        await connection.execute(with_options.format(jobs="$1::json", tenants="$2"), json_literal(jobs), tenants)
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
    """Return the jobs as JSON without apostrophes, which is safe inside an SQL literal."""
    return orjson.dumps([_row(job) for job in jobs]).decode().replace("'", "\\u0027")


def _row(job: NewJob) -> dict[str, object]:
    plain = {name: getattr(job, name) for name in _NAMES}
    return plain if job.options is None else plain | _options_row(job.options)


def _options_row(options: Options) -> dict[str, object]:
    unique = options.unique
    return {
        "run_at": options.run_at and options.run_at.isoformat(),
        "delay_s": options.delay_s,
        "retry_base_s": options.retry_base_s,
        "retry_cap_s": options.retry_cap_s,
        "keep_s": options.keep_s,
        "deadline": options.deadline and options.deadline.isoformat(),
        "tags": list(options.tags) or None,
        "metadata": None if options.metadata is None else orjson.Fragment(options.metadata),
        "unique_key": unique and unique.key,
        "unique_while": unique and unique.held_while,
    }
