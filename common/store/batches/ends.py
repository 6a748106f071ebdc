"""The controller's statements: it moves the places of batches, and ends those of which no job is unfinished.

Whether a batch has ended is asked after its row is locked, in a statement of its own. A transaction
that adds or retries a job of it changes the row too, so the later of the two sees what the earlier one did.
"""

from dataclasses import dataclass

from common import failpoints
from common.store.batches.sql import END, FROM_PLACE, NEAR
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement, array_literal

_FIRST_LIVE = f"""LATERAL (
        SELECT l.id FROM live l WHERE {FROM_PLACE.format(id="l.id")} ORDER BY l.id LIMIT 1)"""
# A batch's jobs are claimed about in the order of their ids. Behind the first few thousand unfinished ones nearly all
# are unfinished, whatever the first ones wait for. NULL for small batches.
_FRONTIER = f"""CASE WHEN b.jobs > {NEAR} THEN (
        SELECT l.id FROM live l WHERE {FROM_PLACE.format(id="l.id")} ORDER BY l.id OFFSET {NEAR // 4} LIMIT 1) END"""
LOOK = Statement(
    "batches_look",
    "uuid, bigint",
    f"""
    SELECT b.id::text, first.id IS NULL AND b.closed_at IS NOT NULL,
           coalesce(first.id <> b.place, false) OR coalesce({_FRONTIER} IS DISTINCT FROM b.frontier, false)
    FROM (SELECT * FROM batches WHERE failed IS NULL AND id > $1 ORDER BY id LIMIT $2) b
    LEFT JOIN {_FIRST_LIVE} first ON true ORDER BY b.id
    """,
)
LOCK = Statement(
    "batches_lock",
    "uuid[]",
    "SELECT id FROM batches WHERE id = ANY ($1) AND failed IS NULL ORDER BY id FOR UPDATE SKIP LOCKED",
)
MOVE = Statement(
    "batches_move_place",
    "uuid[]",
    f"""
    WITH moved AS MATERIALIZED (
        SELECT b.id, first.id AS place, {_FRONTIER} AS frontier
        FROM batches b CROSS JOIN {_FIRST_LIVE} first WHERE b.id = ANY ($1))
    UPDATE batches SET place = moved.place, frontier = moved.frontier
    FROM moved WHERE batches.id = moved.id RETURNING true
    """,
)
HAS_LIVE = Statement(
    "batch_has_live",
    "uuid",
    f"SELECT EXISTS (SELECT FROM live l WHERE {FROM_PLACE.format(id='l.id')}) FROM batches b WHERE b.id = $1",
)
END_ONE = Statement("batch_end", "uuid, uuid", END)
CLOSE_LATE = Statement(
    "batches_close",
    "float8, bigint",
    """
    UPDATE batches SET closed_at = clock_timestamp(), rev = rev + 1 WHERE id = ANY (ARRAY(
        SELECT id FROM batches
        WHERE failed IS NULL AND closed_at IS NULL AND created_at < clock_timestamp() - $1 * interval '1 s'
        ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING id::text
    """,
)
DELETE = Statement(
    "batches_delete",
    "bigint, bigint",
    """
    WITH gone AS (
        DELETE FROM batches WHERE id = ANY (ARRAY(
            SELECT id FROM batches WHERE failed IS NOT NULL AND ended_at < clock_timestamp() - $1 * interval '1 day'
            ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING id, last, is_workflow),
    added AS (
        DELETE FROM added_parents a USING gone WHERE gone.is_workflow AND a.child > gone.id AND a.child <= gone.last)
    SELECT count(*) FROM gone
    """,
)
NO_BATCH = "00000000-0000-0000-0000-000000000000"  # before the first one


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """The end of a batch."""

    batch: str
    follow_up: str | None  #: the job that was stored; None: there is none, or it was stored when the batch first ended
    queue: str | None  #: that of the follow-up


def look(connection: WorkerConnection, after: str, limit: int) -> tuple[list[str], list[str], str | None]:
    """Look at the next batches that may have unfinished jobs, behind the batch `after`.

    Return those that may be ended, those whose place can move, and the last one that was looked at; None: no more.
    """
    rows = connection.run(LOOK, (after, limit))
    moved = [batch for batch, _, has_moved in rows if has_moved]
    return [row[0] for row in rows if row[1]], moved, rows[-1][0] if len(rows) == limit else None


def move_places(connection: WorkerConnection, batches: list[str]) -> None:
    """Set the places of batches to their first unfinished jobs; leaves those that are being changed. Atomic."""
    with connection.transaction():
        if locked := [row[0] for row in connection.run(LOCK, (array_literal(batches),))]:
            connection.run(MOVE, (array_literal(locked),))


def end(connection: WorkerConnection, batch: str, follow_up_id: str) -> BatchEnd | None:
    """End a closed batch without unfinished jobs, and store its follow-up. Atomic. None: it was not to be ended."""
    with connection.transaction():
        if not connection.run(LOCK, (array_literal([batch]),)) or connection.run(HAS_LIVE, (batch,))[0][0]:
            return None
        rows = connection.run(END_ONE, (batch, follow_up_id))
        failpoints.reach("batch_end.before_commit")
    return BatchEnd(*rows[0]) if rows else None


def close_late(connection: WorkerConnection, open_s: float, limit: int) -> list[str]:
    """Close batches that were created `open_s` seconds ago; return their ids."""
    return [row[0] for row in connection.run(CLOSE_LATE, (open_s, limit))]


def delete_ended(connection: WorkerConnection, days: int, limit: int) -> int:
    """Delete batches that ended so many days ago, at most `limit`; return how many."""
    return int(connection.run(DELETE, (days, limit))[0][0])
