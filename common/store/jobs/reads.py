"""Reads of jobs for clients. Each answer comes from one statement, so from one snapshot."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.states import TERMINAL

MAX_ATTEMPTS = 100  # attempts shown with a job
MAX_RUNS = 10  # runs shown with a job: each may have an input as large as a request body
# Larger results are not read with the snapshots of many jobs, but each alone. Compressed, as stored.
LARGE_RESULT_BYTES = 2_048

_STATUS = "SELECT status, run, rev, progress, progress_text FROM job_states WHERE id = $1"
_RESULT = "SELECT status, run, rev, result::text FROM job_states WHERE id = $1"
# OFFSET 0 keeps the look-up by id: it prunes partitions.
_SNAPSHOTS = f"""
SELECT d.id::text, s.run, s.rev, s.status, s.attempt, s.progress, s.progress_text,
       CASE WHEN pg_column_size(s.result) <= {LARGE_RESULT_BYTES} THEN s.result::text END,
       coalesce(pg_column_size(s.result) > {LARGE_RESULT_BYTES}, false)
FROM unnest($1::uuid[]) AS d(id)
CROSS JOIN LATERAL (SELECT * FROM job_states WHERE job_states.id = d.id OFFSET 0) s
"""

# Attempts, outcomes and runs are JSON arrays, so that one statement reads all of it.
_JOB = """
SELECT s.id, s.queue, s.operation, s.status, s.rev, s.run, s.priority, s.attempt, s.max_attempts, s.timeout_ms,
       s.created_at, s.run_at, s.due_at, s.started_at, s.finished_at, s.worker, s.progress, s.progress_text,
       s.result::text, s.error_type, s.error_text, j.input::text, j.deadline, j.retry_base_s, j.retry_cap_s, j.keep_s,
       j.version, j.tags, j.metadata::text, j.unique_key, j.unique_while, statement_timestamp() AS now,
       coalesce((SELECT l.cancel_requested FROM live l WHERE l.id = $1), false) AS cancel_requested,
       (SELECT json_agg(a ORDER BY a.run, a.attempt) FROM (
            SELECT run, attempt, worker, started_at, finished_at, retry_at, outcome, error_type, error_text,
                   execution_s, cpu_s, peak_mib
            FROM attempts WHERE id = $1 ORDER BY run DESC, attempt DESC LIMIT $2) a)::text AS attempts,
       (SELECT json_agg(o ORDER BY o.run) FROM (
            SELECT run, attempt, worker, started_at, finished_at, status, error_type, error_text,
                   execution_s, cpu_s, peak_mib
            FROM outcomes WHERE id = $1 ORDER BY run DESC LIMIT $2) o)::text AS outcomes,
       (SELECT json_agg(r ORDER BY r.run) FROM (
            SELECT run, at, input, undo FROM runs WHERE id = $1 ORDER BY run DESC LIMIT $3) r)::text AS runs
FROM job_states s JOIN jobs j ON j.id = s.id WHERE s.id = $1
"""
# A schema without the table unique_keys is from before 0.1.0, and counts as none.
_READINESS = """
SELECT (SELECT version_num FROM alembic_version WHERE to_regclass('unique_keys') IS NOT NULL),
       extract(epoch FROM clock_timestamp())::float8
"""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobRevision:
    """The revision of a job: two different states of a job differ in run, revision number or status."""

    status: str
    run: int
    rev: int


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
    is_result_large: bool = False  #: the result must be read with `result()`

    @property
    def is_finished(self) -> bool:
        """True if the job has finished."""
        return self.status in TERMINAL

    @property
    def revision(self) -> JobRevision:
        """The revision of the job in this snapshot."""
        return JobRevision(self.status, self.run, self.rev)


async def snapshots(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[str, JobSnapshot]:
    """Return snapshots by job id, without unknown ids. The caller bounds their number."""
    rows = [tuple(row) for row in await connection.fetch(_SNAPSHOTS, job_ids)]
    return {row[0]: JobSnapshot(*row[1:]) for row in rows}


async def status(connection: asyncpg.Connection, job_id: UUID) -> tuple[JobRevision, float | None, str | None] | None:
    """Return a job's revision, progress (0 to 1) and progress text; None for an unknown id."""
    row = await connection.fetchrow(_STATUS, job_id)
    return None if row is None else (JobRevision(row[0], row[1], row[2]), row[3], row[4])


async def result(connection: asyncpg.Connection, job_id: UUID) -> tuple[JobRevision, str | None] | None:
    """Return a job's revision and result (JSON text); None for an unknown id."""
    row = await connection.fetchrow(_RESULT, job_id)
    return None if row is None else (JobRevision(row[0], row[1], row[2]), row[3])


async def job(connection: asyncpg.Connection, job_id: UUID, limit: int = MAX_ATTEMPTS) -> Record | None:
    """Return a job with its last `limit` attempts and outcomes and last MAX_RUNS runs; None for an unknown id."""
    row = await connection.fetchrow(_JOB, job_id, limit, MAX_RUNS)
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
    """Return the revision of the schema (None: none of 0.1.0 or later) and the database's clock in Unix seconds."""
    row = await connection.fetchrow(_READINESS)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return row[0], row[1]
