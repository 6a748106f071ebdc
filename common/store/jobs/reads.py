"""Reads of jobs for clients. Each answer comes from one statement, so from one snapshot."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.states import TERMINAL
from common.store.connection.caller import for_caller
from common.store.dependencies.fragments import PARENTS_ENDED_AT
from common.store.jobs.claims import RUN_INPUT

MAX_ATTEMPTS = 100  # attempts shown with a job
_NOTHING = -5  # as a limit of bytes: less than any value with its header
MAX_RUNS = 10  # runs shown with a job
MAX_INLINE_BYTES = 16_384  # larger inputs and results are not read with a job, unless the caller sets another limit
# Error texts of attempts that are read with a job, in multiples of the limit of one input; then their first characters.
# As many of their tracebacks, at least the newest one.
ERROR_TEXTS_SHARE = 4
CUT_ERROR_CHARACTERS = 200
# Larger results, in bytes of JSON, and larger error texts are not read with the snapshots of many jobs, but each alone.
# What PostgreSQL stores of a result may be a hundredth of its JSON.
LARGE_RESULT_BYTES = 4_096

_CALLER = "ARRAY[$1::int]"
_STATUS = for_caller(
    "SELECT status, run, rev, progress, progress_text FROM job_states WHERE id = $2 AND tenant = $1", _CALLER
)
_RESULT = for_caller(
    "SELECT status, run, rev, result::text, error_type, error_text FROM job_states WHERE id = $2 AND tenant = $1",
    _CALLER,
)
# OFFSET 0 keeps the look-up by id: it prunes partitions.
_SNAPSHOTS = for_caller(
    f"""
SELECT d.tenant, d.id::text AS id, s.run, s.rev, s.status, s.attempt, s.progress, s.progress_text,
       CASE WHEN NOT large.result THEN s.result::text END AS result, large.result AS is_large,
       s.error_type, CASE WHEN NOT large.result THEN s.error_text END AS error_text
FROM unnest($2::int[], $3::uuid[]) AS d(tenant, id)
CROSS JOIN LATERAL (
    SELECT * FROM job_states WHERE job_states.id = d.id AND job_states.tenant = d.tenant OFFSET 0) s
CROSS JOIN LATERAL (SELECT CASE WHEN s.result IS NULL
                                THEN coalesce(octet_length(s.error_text) > {LARGE_RESULT_BYTES}, false)
                                WHEN pg_column_size(s.result) > {LARGE_RESULT_BYTES} THEN true
                                ELSE octet_length(s.result::text) > {LARGE_RESULT_BYTES} END AS result OFFSET 0) large
"""
)

# JSON up to $5 bytes. The size as stored, with a header of 4 bytes, is known without reading a large value.
_INLINE = """CASE WHEN pg_column_size({value}) <= $5 + 4 AND octet_length({value}::text) <= $5 THEN {value}::text END"""
_RESULT_INLINE, _INPUT_INLINE, _RUN_INLINE = (
    _INLINE.format(value=column) for column in ("s.result", "j.input", "r.input")
)
# Error texts of the newest attempts, up to $6 bytes, and the beginnings of older ones.
_ERROR_TEXTS = f"""CASE WHEN sum(octet_length(error_text)) OVER (ORDER BY run DESC, attempt DESC) <= $6
                   THEN error_text ELSE left(error_text, {CUT_ERROR_CHARACTERS}) END AS error_text,
                CASE WHEN row_number() OVER (ORDER BY run DESC, attempt DESC) = 1
                       OR sum(octet_length(traceback)) OVER (ORDER BY run DESC, attempt DESC) <= $6
                   THEN traceback END AS traceback"""
# Attempts, outcomes and runs are JSON arrays, so that one statement reads all of it.
_JOB = for_caller(
    f"""
SELECT s.id, s.queue, s.operation, s.status, s.rev, s.run, s.priority, s.attempt, s.max_attempts, s.timeout_ms,
       s.created_at, s.run_at, s.due_at, s.started_at, s.finished_at, s.worker, s.progress, s.progress_text,
       {_RESULT_INLINE} AS result, s.result IS NOT NULL AS has_result, s.error_type, s.error_text,
       {_INPUT_INLINE} AS input, j.input IS NOT NULL AS has_input,
       j.deadline, j.retry_base_s, j.retry_cap_s, j.keep_s, j.version, j.tags,
       j.metadata::text AS metadata, j.unique_key, j.unique_while, j.concurrency_key, j.submitted_by, j.webhook,
       CASE WHEN j.trace LIKE '%-01' THEN split_part(j.trace, '-', 2) END AS trace_id,
       statement_timestamp() AS now, j.parents IS NOT NULL AS has_parents, {PARENTS_ENDED_AT} AS parents_ended_at,
       coalesce((SELECT l.cancel_requested FROM live l WHERE l.id = $2), false) AS cancel_requested,
       (SELECT json_agg(a ORDER BY a.run, a.attempt) FROM (
            SELECT run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type,
                   {_ERROR_TEXTS}, execution_s, cpu_s, peak_mib
            FROM attempts WHERE id = $2 ORDER BY run DESC, attempt DESC LIMIT $3) a)::text AS attempts,
       (SELECT json_agg(o ORDER BY o.run) FROM (
            SELECT run, attempt, worker, started_at, finished_at, status, error_type,
                   {_ERROR_TEXTS}, execution_s, cpu_s, peak_mib
            FROM outcomes WHERE id = $2 ORDER BY run DESC LIMIT $3) o)::text AS outcomes,
       (SELECT json_agg(r ORDER BY r.run) FROM (
            SELECT r.run, r.at, {_RUN_INLINE} AS input, r.input IS NOT NULL AS has_input, r.undo
            FROM runs r WHERE r.id = $2 ORDER BY r.run DESC LIMIT $4) r)::text AS runs
FROM job_states s JOIN jobs j ON j.id = s.id WHERE s.id = $2 AND s.tenant = $1
""",
    _CALLER,
)
_INPUT = for_caller(
    f"""
SELECT t.status, t.newest_run, t.rev, t.run, ({RUN_INPUT})::text
FROM (SELECT id, status, run AS newest_run, rev, coalesce($3::int, run) AS run
      FROM job_states WHERE id = $2 AND tenant = $1) t
JOIN jobs j ON j.id = t.id
""",
    _CALLER,
)
_READINESS = """
SELECT (SELECT max(version_num) FROM alembic_version), extract(epoch FROM clock_timestamp())::float8
"""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobRevision:
    """The revision of a job: two different states of a job differ in run, revision number or status."""

    status: str
    run: int
    rev: int


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a job, or the error that it failed with; neither while it has not finished."""

    revision: JobRevision
    text: str | None  #: the result as JSON text
    error_type: str | None = None
    error_text: str | None = None


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job as its waiting clients see it."""

    run: int
    rev: int
    status: str
    attempt: int
    progress: float | None
    progress_text: str | None
    result: str | None  #: JSON text; None if there is none or it is large
    is_result_large: bool = False  #: the result, or the text of the error, must be read with `result()`
    error_type: str | None = None
    error_text: str | None = None  #: None if there is none or it is large

    @property
    def is_finished(self) -> bool:
        """True if the job has finished."""
        return self.status in TERMINAL

    @property
    def revision(self) -> JobRevision:
        """The revision of the job in this snapshot."""
        return JobRevision(self.status, self.run, self.rev)

    @property
    def job_result(self) -> JobResult:
        """The result or the error of the job in this snapshot."""
        return JobResult(self.revision, self.result, self.error_type, self.error_text)


async def snapshots(
    connection: asyncpg.Connection, job_ids: Sequence[tuple[int, UUID]]
) -> dict[tuple[int, str], JobSnapshot]:
    """Return snapshots by tenant and job id, without unknown ids. The number of `job_ids` is bounded.

    `job_ids`: each with the tenant of the callers who wait for it; they see the job only if it is that tenant's.
    """
    tenants = [tenant for tenant, _ in job_ids]
    arguments = (sorted(set(tenants)), tenants, [job_id for _, job_id in job_ids])
    rows = [tuple(row) for row in await connection.fetch(_SNAPSHOTS, *arguments)]
    return {row[:2]: JobSnapshot(*row[2:]) for row in rows}


async def status(
    connection: asyncpg.Connection, tenant: int, job_id: UUID
) -> tuple[JobRevision, float | None, str | None] | None:
    """Return the revision, progress (0 to 1) and progress text of a tenant's job; None for an unknown id."""
    row = await connection.fetchrow(_STATUS, tenant, job_id)
    return None if row is None else (JobRevision(row[0], row[1], row[2]), row[3], row[4])


async def result(connection: asyncpg.Connection, tenant: int, job_id: UUID) -> JobResult | None:
    """Return the result or error of a tenant's job; None for an unknown id."""
    row = await connection.fetchrow(_RESULT, tenant, job_id)
    return None if row is None else JobResult(JobRevision(row[0], row[1], row[2]), row[3], row[4], row[5])


@dataclass(frozen=True, slots=True)
class RunInput:
    """The input of a run of a job."""

    revision: JobRevision  #: of the job; its run is the newest one
    run: int
    text: str | None  #: JSON; None: it was removed


async def run_input(connection: asyncpg.Connection, tenant: int, job_id: UUID, run: int | None) -> RunInput | None:
    """Return the input with which a run of a tenant's job began, None: the newest run; None for an unknown id.

    A run without an input of its own has that of the run before. The caller checks that there is such a run.
    """
    row = await connection.fetchrow(_INPUT, tenant, job_id, run)
    return None if row is None else RunInput(JobRevision(row[0], row[1], row[2]), row[3], row[4])


async def job(
    connection: asyncpg.Connection,
    tenant: int,
    job_id: UUID,
    limit: int = MAX_ATTEMPTS,
    inline_bytes: int = MAX_INLINE_BYTES,
    *,
    with_payload: bool = True,
) -> Record | None:
    """Return a tenant's job with its last `limit` attempts and outcomes and last MAX_RUNS runs; None for an unknown id.

    Inputs and the result are JSON text, None above `inline_bytes` and always None without payload; `has_input` and
    `has_result` tell if there is one.
    """
    error_bytes, shown_bytes = inline_bytes * ERROR_TEXTS_SHARE, inline_bytes if with_payload else _NOTHING
    row = await connection.fetchrow(_JOB, tenant, job_id, limit, MAX_RUNS, shown_bytes, error_bytes)
    if row is None:
        return None
    record = dict(row)
    for name, times in (
        ("attempts", ("started_at", "finished_at", "retry_at")),
        ("outcomes", ("started_at", "finished_at")),
        ("runs", ("at",)),
    ):
        record[name] = _rows(record[name], times)
    return record


def ended_attempts(record: Record) -> list[Record]:
    """Return the ended attempts of a record from `job()`, first to last."""
    final = [
        outcome | {"retry_at": None, "outcome": outcome["status"].lower()}
        for outcome in record["outcomes"]
        if outcome["started_at"]
    ]
    return sorted([*record["attempts"], *final], key=lambda attempt: (attempt["run"], attempt["attempt"]))


def _rows(text: str | None, times: Sequence[str]) -> list[Record]:
    rows: list[Record] = json.loads(text or "[]")
    for row in rows:
        row |= {name: datetime.fromisoformat(row[name]).astimezone(UTC) for name in times if row[name] is not None}
    return rows


async def readiness(connection: asyncpg.Connection) -> tuple[str | None, float]:
    """Return the revision of the schema, None for none, and the database's clock in Unix seconds."""
    row = await connection.fetchrow(_READINESS)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return row[0], row[1]
