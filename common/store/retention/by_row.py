"""Retention by row: deletes finished jobs, or their inputs, one by one, where a partition cannot be cleared as a whole.

Three statements: scan, lock the rows of `jobs`, then check again and delete, with a snapshot that is later than the
lock. A manual retry locks the same row first, so either it finds the job deleted or the check keeps the job.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from common.store.connection.statement import Statement, array_literal
from common.store.retention import stored_bytes
from common.store.retention.by_partition import KEEPS, RetentionCutoffs
from common.store.schema.batch_of_job import BATCH_OF
from common.store.schema.partitions import Period

if TYPE_CHECKING:  # it imports psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# Without waiting: rows that another transaction holds are left for the next scan.
LOCK = Statement(
    "lock_rows",
    "uuid[], smallint[]",
    """
    SELECT j.id::text, d.run FROM ROWS FROM (unnest($1), unnest($2)) AS d(id, run) JOIN jobs j ON j.id = d.id
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
    """,
)
# A job that was retried since the scan has a live row or a newer outcome.
_STILL = """
    still AS MATERIALIZED (
        SELECT d.id FROM ROWS FROM (unnest($1), unnest($2)) AS d(id, run)
        WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = d.id)
          AND NOT EXISTS (SELECT FROM outcomes o WHERE o.id = d.id AND o.run > d.run))
"""
_TABLES = ("outcomes", "attempts", "tags", "job_logs", "runs", "deadlines", "expiries", "jobs")
# The lowest and highest id prune partitions. A join to `still` would too, unless the planner takes a table for empty.
_MATCHING = "id BETWEEN $3 AND $4 AND id = ANY (ARRAY(SELECT id FROM still))"
_DELETES = ", ".join(f"of_{table} AS (DELETE FROM {table} WHERE {_MATCHING})" for table in _TABLES)
_FREED = stored_bytes.freed(_MATCHING, stored_bytes.JOB_BYTES)
_FREED_INPUTS = stored_bytes.freed(_MATCHING, stored_bytes.INPUT_BYTES)
# The counts of a batch go on including its jobs.
_OF_BATCHES = f"""
    of_batches AS (
        UPDATE batches b
        SET gone = b.gone + d.jobs, gone_failed = b.gone_failed + d.failed,
            gone_cancelled = b.gone_cancelled + d.cancelled
        FROM (SELECT {BATCH_OF.format(id="o.id")} AS batch, count(*) AS jobs,
                     count(*) FILTER (WHERE o.status = 'FAILED') AS failed,
                     count(*) FILTER (WHERE o.status = 'CANCELLED') AS cancelled
              FROM (SELECT DISTINCT ON (id) id, status FROM outcomes WHERE {_MATCHING} ORDER BY id, run DESC) o
              GROUP BY 1) d
        WHERE b.id = d.batch)
"""
DELETE = Statement(
    "delete_rows",
    "uuid[], smallint[], uuid, uuid",
    f"WITH {_STILL}, {_FREED}, {_OF_BATCHES}, {_DELETES} SELECT count(*) FROM still",
)
DELETE_INPUTS = Statement(
    "delete_inputs",
    "uuid[], smallint[], uuid, uuid",
    f"""
    WITH {_STILL}, {_FREED_INPUTS},
    of_runs AS (UPDATE runs SET input = NULL WHERE {_MATCHING} AND input IS NOT NULL),
    of_jobs AS (UPDATE jobs SET input = NULL WHERE {_MATCHING})
    SELECT count(*) FROM still
    """,
)


def _scan(name: str, types: str, condition: str) -> Statement:
    """Return a statement that scans the next jobs of a period by id.

    It returns the number of scanned jobs, the last one, and ids and runs of the finished ones that meet the condition.
    """
    return Statement(
        name,
        f"uuid, uuid, bigint, {types}",
        f"""
        WITH seen AS MATERIALIZED (
            SELECT id, input IS NOT NULL AS has_input FROM jobs WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3),
        found AS (
            SELECT s.id, o.run FROM seen s
            CROSS JOIN LATERAL (
                SELECT run, finished_at FROM outcomes WHERE outcomes.id = s.id ORDER BY run DESC LIMIT 1) o
            WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = s.id) AND {condition})
        SELECT (SELECT count(*) FROM seen), (SELECT id::text FROM seen ORDER BY id DESC LIMIT 1),
               coalesce(array_agg(id::text), '{{}}'), coalesce(array_agg(run), '{{}}') FROM found
        """,
    )


_KEEPS = KEEPS.format("k", success="$4", failed="$5", cancelled="$6")
SCAN_JOBS = _scan(
    "walk_jobs",
    "bigint, bigint, bigint",
    f"""NOT EXISTS (SELECT FROM outcomes k WHERE k.id = s.id AND {_KEEPS})
                AND NOT EXISTS (SELECT FROM expiries e WHERE e.id = s.id)""",
)
SCAN_INPUTS = _scan(
    "walk_inputs",
    "bigint",
    """(s.has_input OR EXISTS (SELECT FROM runs r WHERE r.id = s.id AND r.input IS NOT NULL))
                AND o.finished_at <= to_timestamp($4 / 1000.0)""",
)

JobRuns = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class DeletionBatch:
    """The outcome of one batch of a scan through a period."""

    scanned: int
    deleted: int
    position: UUID  #: the next batch begins behind it
    is_last: bool


def first_position(period: Period) -> UUID:
    """Return the position at which a scan through a period begins."""
    return UUID(int=period.bounds[0].int - 1)


def delete_jobs(connection: "WorkerConnection", jobs: JobRuns) -> int:
    """Delete finished jobs, unless retried since the given run. Return their number. In the caller's transaction."""
    return _lock_and_write(connection, DELETE, jobs)


def delete_past_retention(
    connection: "WorkerConnection", period: Period, position: UUID, limit: int, cutoffs: RetentionCutoffs
) -> DeletionBatch:
    """Scan the next jobs of a period, at most `limit`, and delete those past retention. Atomic."""
    return _run_batch(
        connection,
        SCAN_JOBS,
        DELETE,
        (position, period, limit),
        (cutoffs.success_ms, cutoffs.failed_ms, cutoffs.cancelled_ms),
    )


def delete_inputs(
    connection: "WorkerConnection", period: Period, position: UUID, limit: int, cutoff_ms: int
) -> DeletionBatch:
    """Scan the next jobs of a period, at most `limit`; delete inputs of those that ended before the cutoff. Atomic."""
    return _run_batch(connection, SCAN_INPUTS, DELETE_INPUTS, (position, period, limit), (cutoff_ms,))


def _run_batch(
    connection: "WorkerConnection",
    scan: Statement,
    write: Statement,
    batch: tuple[UUID, Period, int],
    cutoffs_ms: tuple[int, ...],
) -> DeletionBatch:
    position, period, limit = batch
    with connection.transaction():
        ((scanned, last, ids, runs),) = connection.run(scan, (str(position), str(period.bounds[1]), limit, *cutoffs_ms))
        deleted = _lock_and_write(connection, write, list(zip(ids, runs, strict=True)))
    return DeletionBatch(scanned, deleted, UUID(last) if last else position, scanned < limit)


def _lock_and_write(connection: "WorkerConnection", write: Statement, jobs: JobRuns) -> int:
    if not jobs:
        return 0
    ids, runs = zip(*jobs, strict=True)
    locked = connection.run(LOCK, (array_literal(ids), array_literal(runs)))
    if not locked:
        return 0
    first_id, last_id = locked[0][0], locked[-1][0]  # LOCK returns them in the order of their ids
    arguments = (array_literal(row[0] for row in locked), array_literal(row[1] for row in locked), first_id, last_id)
    return int(connection.run(write, arguments)[0][0])
