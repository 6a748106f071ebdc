"""Finished jobs removed one by one, and their inputs: where a whole partition cannot go.

Look, lock the rows of `jobs`, and in a statement of its own, whose snapshot is after the lock, look again: an explicit retry locks
the same row before it makes a job live, so it either finds the job gone, or the job stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from common.store.connection.statement import Statement, array
from common.store.retention.by_partition import KEEPS, Cuts
from common.store.schema.partitions import Period

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import Hot


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
_OF = ("outcomes", "attempts", "tags", "reruns", "deadlines", "expiries", "jobs")
# The least and the greatest id prune partitions; a join to `still` would too, but not where the planner thinks that a table is empty.
_THESE = "id BETWEEN $3 AND $4 AND id = ANY (ARRAY(SELECT id FROM still))"
_GONE = ", ".join(f"of_{table} AS (DELETE FROM {table} WHERE {_THESE})" for table in _OF)
REMOVE = Statement("removal", "uuid[], smallint[], uuid, uuid", f"WITH {_STILL}, {_GONE} SELECT count(*) FROM still")
STRIP = Statement(
    "removal_of_inputs",
    "uuid[], smallint[], uuid, uuid",
    f"""
    WITH {_STILL},
    of_reruns AS (UPDATE reruns SET input = NULL WHERE {_THESE} AND input IS NOT NULL),
    of_jobs AS (UPDATE jobs SET input = NULL WHERE {_THESE})
    SELECT count(*) FROM still
    """,
)


def _walk(name: str, types: str, goes: str) -> Statement:
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
WALK_JOBS = _walk("walk_jobs", "bigint, bigint, bigint", f"{_PAST} AND NOT EXISTS (SELECT FROM expiries e WHERE e.id = s.id)")
WALK_INPUTS = _walk(
    "walk_inputs",
    "bigint",
    "(s.has_input OR EXISTS (SELECT FROM reruns r WHERE r.id = s.id AND r.input IS NOT NULL)) AND o.finished_at <= to_timestamp($4 / 1000.0)",
)

Found = Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a walk through a period."""

    looked: int
    moved: int
    at: UUID  #: where the next one begins
    last: bool


def begin(period: Period) -> UUID:
    """Return where a walk through a period begins."""
    return UUID(int=period.bounds[0].int - 1)


def remove(hot: "Hot", jobs: Found) -> int:
    """Remove finished jobs, each unless it has been retried since that epoch; in the caller's transaction. Returns how many."""
    return _locked(hot, REMOVE, jobs)


def remove_past(hot: "Hot", period: Period, at: UUID, most: int, cuts: Cuts) -> Step:
    """Look at the next jobs of a period, at most so many, and remove those that are past retention. Atomic."""
    return _step(hot, WALK_JOBS, REMOVE, (at, period, most), (cuts.success_ms, cuts.failed_ms, cuts.cancelled_ms))


def strip_inputs(hot: "Hot", period: Period, at: UUID, most: int, cut_ms: int) -> Step:
    """Look at the next jobs of a period, at most so many, and remove the inputs of those that ended before the cut. Atomic."""
    return _step(hot, WALK_INPUTS, STRIP, (at, period, most), (cut_ms,))


def _step(hot: "Hot", walk: Statement, write: Statement, where: tuple[UUID, Period, int], cuts: tuple[int, ...]) -> Step:
    at, period, most = where
    with hot.transaction():
        ((looked, last, ids, epochs),) = hot.run(walk, (str(at), str(period.bounds[1]), most, *cuts))
        moved = _locked(hot, write, list(zip(ids, epochs, strict=True)))
    return Step(looked, moved, UUID(last) if last else at, looked < most)


def _locked(hot: "Hot", write: Statement, jobs: Found) -> int:
    if not jobs:
        return 0
    ids, epochs = zip(*jobs, strict=True)
    held = hot.run(LOCK, (array(ids), array(epochs)))
    if not held:
        return 0
    arguments = (array(row[0] for row in held), array(row[1] for row in held), held[0][0], held[-1][0])  # in the order of their ids
    return int(hot.run(write, arguments)[0][0])
