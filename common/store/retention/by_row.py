"""Finished jobs removed one by one, and their inputs: where a whole partition cannot go.

Look, lock the rows of `jobs`, and in a statement of its own, whose snapshot is after the lock, look again: an explicit retry locks
the same row before it makes a job live, so it either finds the job gone, or the job stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from common.store.connection.statement import Statement, array_literal
from common.store.retention.by_partition import KEEPS, RetentionCutoffs
from common.store.schema.partitions import Period

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# Nobody waits here: what another one has locked is left for the next look.
LOCK = Statement(
    "removal_lock",
    "uuid[], smallint[]",
    """
    SELECT j.id::text, d.epoch FROM ROWS FROM (unnest($1), unnest($2)) AS d(id, epoch) JOIN jobs j ON j.id = d.id
    ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
    """,
)
# What has been retried since it was looked at has a live row, or ended once more.
_STILL = """
    still AS MATERIALIZED (
        SELECT d.id FROM ROWS FROM (unnest($1), unnest($2)) AS d(id, epoch)
        WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = d.id) AND NOT EXISTS (SELECT FROM outcomes o WHERE o.id = d.id AND o.epoch > d.epoch))
"""
_TABLES = ("outcomes", "attempts", "tags", "reruns", "deadlines", "expiries", "jobs")
# The least and the greatest id prune partitions; a join to `still` would too, but not where the planner thinks that a table is empty.
_MATCHING = "id BETWEEN $3 AND $4 AND id = ANY (ARRAY(SELECT id FROM still))"
_GONE = ", ".join(f"of_{table} AS (DELETE FROM {table} WHERE {_MATCHING})" for table in _TABLES)
DELETE = Statement("removal", "uuid[], smallint[], uuid, uuid", f"WITH {_STILL}, {_GONE} SELECT count(*) FROM still")
DELETE_INPUTS = Statement(
    "removal_of_inputs",
    "uuid[], smallint[], uuid, uuid",
    f"""
    WITH {_STILL},
    of_reruns AS (UPDATE reruns SET input = NULL WHERE {_MATCHING} AND input IS NOT NULL),
    of_jobs AS (UPDATE jobs SET input = NULL WHERE {_MATCHING})
    SELECT count(*) FROM still
    """,
)


def _scan(name: str, types: str, goes: str) -> Statement:
    """Make a statement that looks at the next jobs of a period by id; it returns how many, the last one, and those that may go."""
    return Statement(
        name,
        f"uuid, uuid, bigint, {types}",
        f"""
        WITH seen AS MATERIALIZED (
            SELECT id, input IS NOT NULL AS has_input FROM jobs WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3),
        found AS (
            SELECT s.id, o.epoch FROM seen s
            CROSS JOIN LATERAL (SELECT epoch, finished_at FROM outcomes WHERE outcomes.id = s.id ORDER BY epoch DESC LIMIT 1) o
            WHERE NOT EXISTS (SELECT FROM live l WHERE l.id = s.id) AND {goes})
        SELECT (SELECT count(*) FROM seen), (SELECT id::text FROM seen ORDER BY id DESC LIMIT 1),
               coalesce(array_agg(id::text), '{{}}'), coalesce(array_agg(epoch), '{{}}') FROM found
        """,
    )


_PAST = f"NOT EXISTS (SELECT FROM outcomes k WHERE k.id = s.id AND {KEEPS.format('k', success='$4', failed='$5', cancelled='$6')})"
SCAN_JOBS = _scan("walk_jobs", "bigint, bigint, bigint", f"{_PAST} AND NOT EXISTS (SELECT FROM expiries e WHERE e.id = s.id)")
SCAN_INPUTS = _scan(
    "walk_inputs",
    "bigint",
    "(s.has_input OR EXISTS (SELECT FROM reruns r WHERE r.id = s.id AND r.input IS NOT NULL)) AND o.finished_at <= to_timestamp($4 / 1000.0)",
)

JobRuns = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class DeletionBatch:
    """A part of a walk through a period."""

    scanned: int
    deleted: int
    position: UUID  #: where the next one begins
    is_last: bool


def first_position(period: Period) -> UUID:
    """Return where a walk through a period begins."""
    return UUID(int=period.bounds[0].int - 1)


def delete_jobs(connection: "WorkerConnection", jobs: JobRuns) -> int:
    """Remove finished jobs, each unless it has been retried since that epoch; in the caller's transaction. Returns how many."""
    return _lock_and_write(connection, DELETE, jobs)


def delete_past_retention(connection: "WorkerConnection", period: Period, position: UUID, limit: int, cutoffs: RetentionCutoffs) -> DeletionBatch:
    """Look at the next jobs of a period, at most so many, and remove those that are past retention. Atomic."""
    return _run_batch(connection, SCAN_JOBS, DELETE, (position, period, limit), (cutoffs.success_ms, cutoffs.failed_ms, cutoffs.cancelled_ms))


def delete_inputs(connection: "WorkerConnection", period: Period, position: UUID, limit: int, cutoff_ms: int) -> DeletionBatch:
    """Look at the next jobs of a period, at most so many, and remove the inputs of those that ended before the cut. Atomic."""
    return _run_batch(connection, SCAN_INPUTS, DELETE_INPUTS, (position, period, limit), (cutoff_ms,))


def _run_batch(connection: "WorkerConnection", walk: Statement, write: Statement, where: tuple[UUID, Period, int], cuts: tuple[int, ...]) -> DeletionBatch:
    at, period, most = where
    with connection.transaction():
        ((looked, last, ids, epochs),) = connection.run(walk, (str(at), str(period.bounds[1]), most, *cuts))
        moved = _lock_and_write(connection, write, list(zip(ids, epochs, strict=True)))
    return DeletionBatch(looked, moved, UUID(last) if last else at, looked < most)


def _lock_and_write(connection: "WorkerConnection", write: Statement, jobs: JobRuns) -> int:
    if not jobs:
        return 0
    ids, epochs = zip(*jobs, strict=True)
    held = connection.run(LOCK, (array_literal(ids), array_literal(epochs)))
    if not held:
        return 0
    arguments = (array_literal(row[0] for row in held), array_literal(row[1] for row in held), held[0][0], held[-1][0])  # in the order of their ids
    return int(connection.run(write, arguments)[0][0])
