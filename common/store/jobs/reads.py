"""Read jobs: each answer from one statement, so from one moment."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from common.domain.states import TERMINAL

MAX_ATTEMPTS = 100  # shown with a job
MAX_RUNS = 10  # each may have an input as large as a body
# Not with the looks of thousands of clients: hundreds of great results at once. As it is stored, so compressed.
LARGE_RESULT_BYTES = 2_048

_STATUS = "SELECT status, epoch, rev, progress, progress_text FROM job_states WHERE id = $1"
_RESULT = "SELECT status, epoch, rev, result::text FROM job_states WHERE id = $1"
# OFFSET 0 keeps the look-up by id: it prunes partitions.
_SNAPSHOTS = f"""
SELECT d.id::text, s.epoch, s.rev, s.status, s.attempt, s.progress, s.progress_text,
       CASE WHEN pg_column_size(s.result) <= {LARGE_RESULT_BYTES} THEN s.result::text END, coalesce(pg_column_size(s.result) > {LARGE_RESULT_BYTES}, false)
FROM unnest($1::uuid[]) AS d(id)
CROSS JOIN LATERAL (SELECT * FROM job_states WHERE job_states.id = d.id OFFSET 0) s
"""

# Lists of rows as JSON, so that all of it is of one moment.
_JOB = """
SELECT s.id, s.queue, s.operation, s.status, s.rev, s.epoch, s.priority, s.attempt, s.max_attempts, s.timeout_ms, s.created_at, s.run_at, s.due_at,
       s.started_at, s.finished_at, s.worker, s.progress, s.progress_text, s.result::text, s.error_type, s.error_text, j.input::text, j.deadline,
       j.retry_base_s, j.retry_cap_s, j.keep_s, j.version, j.tags, j.metadata::text, j.unique_key, j.unique_while, statement_timestamp() AS now,
       coalesce((SELECT l.cancel FROM live l WHERE l.id = $1), false) AS cancel_requested,
       (SELECT json_agg(a ORDER BY a.epoch, a.attempt) FROM (
            SELECT epoch, attempt, worker, started_at, ended_at, retry_at, ended, error_type, error_text, run_s, cpu_s, peak_mib FROM attempts WHERE id = $1
            ORDER BY epoch DESC, attempt DESC LIMIT $2) a)::text AS attempts,
       (SELECT json_agg(o ORDER BY o.epoch) FROM (
            SELECT epoch, attempt, worker, started_at, finished_at, status, error_type, error_text, run_s, cpu_s, peak_mib FROM outcomes WHERE id = $1
            ORDER BY epoch DESC LIMIT $2) o)::text AS outcomes,
       (SELECT json_agg(r ORDER BY r.epoch) FROM (
            SELECT epoch, at, input, undo FROM reruns WHERE id = $1 ORDER BY epoch DESC LIMIT $3) r)::text AS reruns
FROM job_states s JOIN jobs j ON j.id = s.id WHERE s.id = $1
"""
_READINESS = "SELECT (SELECT version_num FROM alembic_version), extract(epoch FROM clock_timestamp())::float8"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class JobRevision:
    """Where a job is. No two states of a job have the same epoch, revision and status."""

    status: str
    epoch: int
    rev: int


@dataclass(frozen=True, slots=True)
class JobSnapshot:
    """A job as those see it who wait for it."""

    epoch: int
    rev: int
    status: str
    attempt: int
    progress: float | None
    progress_text: str | None
    result: str | None  #: JSON text; None where there is none, and where it is large
    is_result_large: bool = False  #: its result is to be read alone

    @property
    def is_finished(self) -> bool:
        """Whether it has ended."""
        return self.status in TERMINAL

    @property
    def revision(self) -> JobRevision:
        """Where it was."""
        return JobRevision(self.status, self.epoch, self.rev)


async def snapshots(connection: asyncpg.Connection, job_ids: Sequence[UUID]) -> dict[str, JobSnapshot]:
    """Return jobs by their id; unknown ones are not there. Bounded by the caller."""
    return {row[0]: JobSnapshot(*row[1:]) for row in (tuple(one) for one in await connection.fetch(_SNAPSHOTS, job_ids))}


async def status(connection: asyncpg.Connection, job_id: UUID) -> tuple[JobRevision, float | None, str | None] | None:
    """Return where a job is and the progress of its running attempt, None for an unknown id."""
    row = await connection.fetchrow(_STATUS, job_id)
    return None if row is None else (JobRevision(row[0], row[1], row[2]), row[3], row[4])


async def result(connection: asyncpg.Connection, job_id: UUID) -> tuple[JobRevision, str | None] | None:
    """Return where a job is and its result (JSON text), None for an unknown id."""
    row = await connection.fetchrow(_RESULT, job_id)
    return None if row is None else (JobRevision(row[0], row[1], row[2]), row[3])


async def job(connection: asyncpg.Connection, job_id: UUID, limit: int = MAX_ATTEMPTS) -> Record | None:
    """Return everything that is known of a job, None for an unknown id: of its attempts and epochs the last `most`."""
    row = await connection.fetchrow(_JOB, job_id, limit, MAX_RUNS)
    if row is None:
        return None
    found = dict(row)
    for name, times in (("attempts", ("started_at", "ended_at", "retry_at")), ("outcomes", ("started_at", "finished_at")), ("reruns", ("at",))):
        found[name] = _rows(found[name], times)
    return found


def ended_attempts(found: Record) -> list[Record]:
    """Return of everything that is known of a job the attempts that have ended, first to last."""
    ended = [one | {"ended_at": one["finished_at"], "retry_at": None, "ended": one["status"].lower()} for one in found["outcomes"] if one["started_at"]]
    return sorted([*found["attempts"], *ended], key=lambda one: (one["epoch"], one["attempt"]))


def _rows(text: str | None, times: Sequence[str]) -> list[Record]:
    rows: list[Record] = json.loads(text or "[]")
    for row in rows:
        row |= {name: datetime.fromisoformat(row[name]).astimezone(UTC) for name in times if row[name] is not None}
    return rows


async def readiness(connection: asyncpg.Connection) -> tuple[str | None, float]:
    """Return the revision of the schema and the database's clock in Unix seconds."""
    row = await connection.fetchrow(_READINESS)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return row[0], row[1]
