"""Unique keys that are held while a job runs (mutual exclusion): jobs with the same key run one after the other."""

from typing import TYPE_CHECKING

from common.store.connection.statement import Statement

if TYPE_CHECKING:  # with it comes psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection


# LOCK locks the row, whichever job holds the key. TAKE is a separate statement, so its snapshot is of after the lock.
LOCK = Statement(
    "lock_running_key",
    "text, uuid",
    """
    INSERT INTO unique_keys AS u (key, id) VALUES ($1, $2)
    ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING u.id
    """,
)
TAKE = Statement(
    "take_running_key",
    "text, uuid",
    """
    UPDATE unique_keys SET id = $2 WHERE tenant = 1 AND key = $1
      AND (id = $2 OR NOT EXISTS (SELECT FROM live l WHERE l.id = unique_keys.id AND l.worker IS NOT NULL))
    RETURNING true
    """,
)

# Reverses the claim, because waiting for the key is no attempt. A job that was asked to stop meanwhile ends CANCELLED.
POSTPONE = Statement(
    "postpone",
    "bigint, uuid, smallint, float8",
    """
    WITH mine AS MATERIALIZED (
        SELECT * FROM live WHERE id = $2 AND attempt = $3 AND worker = $1 FOR UPDATE),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE cancel_requested))),
    cancelled AS (
        INSERT INTO outcomes (id, run, attempt, released, rev, status)
        SELECT id, run, attempt - 1, released, rev + 1, 'CANCELLED' FROM mine WHERE cancel_requested)
    UPDATE live
    SET worker = NULL, started_at = NULL, attempt = mine.attempt - 1, rev = mine.rev + 1,
        claimable_at = clock_timestamp() + $4 * interval '1 s'
    FROM mine WHERE live.id = mine.id AND NOT mine.cancel_requested RETURNING true
    """,
)
RUNNING_PREFIX = "while running: "  # keeps these keys apart from keys that waiting jobs hold


def take(connection: "WorkerConnection", worker: int, key: str, job_id: str, attempt: int, postpone_s: float) -> bool:
    """Take the key for a job that is about to run. Return False if another running job holds it. Atomic.

    In that case the claim is reversed, and the job is claimable again after `postpone_s` seconds.
    """
    with connection.transaction():
        connection.run(LOCK, (RUNNING_PREFIX + key, job_id))
        if connection.run(TAKE, (RUNNING_PREFIX + key, job_id)):
            return True
        connection.run(POSTPONE, (worker, job_id, attempt, postpone_s))
        return False
