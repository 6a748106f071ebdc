"""Unique keys that are held while a job runs: jobs of one key run one after the other."""

from typing import TYPE_CHECKING

from common.store.connection.statement import Statement

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# The row is locked first, whoever has it; a statement of its own then asks, with a snapshot after the lock, whether that job still has it.
LOCK = Statement(
    "lock_mutex",
    "text, uuid",
    "INSERT INTO uniq AS u (key, id) VALUES ($1, $2) ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING u.id",
)
TAKE = Statement(
    "take_mutex",
    "text, uuid",
    """
    UPDATE uniq SET id = $2 WHERE tenant = 1 AND key = $1
      AND (id = $2 OR NOT EXISTS (SELECT FROM live l WHERE l.id = uniq.id AND l.worker IS NOT NULL)) RETURNING true
    """,
)

# As if it had not been claimed: waiting for its turn is no attempt. One that was asked to stop meanwhile ends.
POSTPONE = Statement(
    "put_off",
    "bigint, uuid, smallint, float8",
    """
    WITH mine AS MATERIALIZED (
        SELECT * FROM live WHERE id = $2 AND attempt = $3 AND worker = $1 FOR UPDATE),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE cancel))),
    ended AS (
        INSERT INTO outcomes (id, epoch, attempt, released, rev, status)
        SELECT id, epoch, attempt - 1, released, rev + 1, 'CANCELLED' FROM mine WHERE cancel)
    UPDATE live
    SET worker = NULL, started_at = NULL, attempt = mine.attempt - 1, rev = mine.rev + 1, pos = clock_timestamp() + $4 * interval '1 s'
    FROM mine WHERE live.id = mine.id AND NOT mine.cancel RETURNING true
    """,
)
RUNNING_PREFIX = "while running: "  # such keys and those that wait are apart


def take(connection: "WorkerConnection", worker: int, key: str, job_id: str, attempt: int, postpone_s: float) -> bool:
    """Take the key for a job that is about to run; where another one runs under it, put the job off for so many seconds. Atomic."""
    with connection.transaction():
        connection.run(LOCK, (RUNNING_PREFIX + key, job_id))
        if connection.run(TAKE, (RUNNING_PREFIX + key, job_id)):
            return True
        connection.run(POSTPONE, (worker, job_id, attempt, postpone_s))
        return False
