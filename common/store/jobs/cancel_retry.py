"""What clients ask of a job that is there already: to stop, to run again."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.errors import InputRemoved, StoreUnavailable
from common.domain.states import TERMINAL, State
from common.store.connection.asyncpg_pool import CONNECTION_ERRORS
from common.store.jobs import keyed_insert
from common.store.jobs.fragments import HAS_INPUT, NEEDS, NEWEST_VERSION, NEXT_RUN_VERSION

# One row, one lock: whoever claims, settles, gives back or cancels a job comes before or after the others. So each of these finds it
# as it is once the lock is had, and a job that has moved on in between is found by the next statement, whose snapshot is a new one.
_CANCEL_RUNNING = "UPDATE live SET cancel = true, rev = rev + (NOT cancel)::int WHERE id = $1 AND worker IS NOT NULL RETURNING id"
_STATE = "SELECT status FROM job_states WHERE id = $1"
MAX_ROUNDS = 20  # a job would have to be given back and claimed again between the same two statements so often

RETRYABLE = (State.FAILED, State.CANCELLED)

# Two at once: the second waits here, and its next statement sees what the first has done.
_LOCK = "SELECT queue, CASE unique_while WHEN 'both' THEN unique_key END FROM jobs WHERE id = $1 FOR NO KEY UPDATE"

# NOT EXISTS besides ON CONFLICT: a settle that is under way is waited for, and would leave an epoch that this snapshot does not know.
_RETRY = f"""
WITH last AS (
    SELECT epoch, rev, status FROM outcomes WHERE id = $1 ORDER BY epoch DESC LIMIT 1),
about AS (
    SELECT j.*, CASE WHEN $2::text IS NULL THEN {NEXT_RUN_VERSION} ELSE {NEWEST_VERSION} END AS needed FROM jobs j WHERE j.id = $1),
new AS (
    INSERT INTO live (id, tenant, queue, priority, max_attempts, pos, epoch, rev, needs)
    SELECT a.id, a.tenant, a.queue, a.priority, a.max_attempts, clock_timestamp(), last.epoch + 1, last.rev + 1,
           {NEEDS.format(operation="a.operation", version="a.needed")}
    FROM about a CROSS JOIN last
    WHERE last.status IN ('FAILED', 'CANCELLED') AND last.epoch < 32767 AND NOT EXISTS (SELECT FROM live WHERE live.id = $1)
      AND ($2::text IS NOT NULL OR {HAS_INPUT.format(id="$1")})
    ON CONFLICT (id) DO NOTHING
    RETURNING id, epoch),
kept AS (
    INSERT INTO reruns (id, epoch, input) SELECT id, epoch, $2::text::json FROM new)
SELECT (SELECT epoch FROM new), (SELECT status FROM job_states WHERE id = $1)
"""


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """What became of the wish to run a job again."""

    queue: str
    epoch: int | None  #: the new one, None: there is none
    state: State  #: that the job was in before


async def cancel_job(connection: asyncpg.Connection, job_id: UUID) -> State | None:
    """End a job that waits, or ask the one that runs to stop: then, and only then, IN_PROGRESS is returned.

    Returns how a job had ended before; None for an unknown id. Safe to repeat.
    """
    for _ in range(MAX_ROUNDS):
        if await connection.fetchrow(keyed_insert.CANCEL_WAITING, job_id):
            return State.CANCELLED
        if await connection.fetchrow(_CANCEL_RUNNING, job_id):
            return State.IN_PROGRESS
        row = await connection.fetchrow(_STATE, job_id)
        if row is None:
            return None
        if row[0] in TERMINAL:
            return State(row[0])
    raise StoreUnavailable


async def operation_name(connection: asyncpg.Connection, job_id: UUID) -> str | None:
    """Return the name of a job's operation, None for an unknown id."""
    row = await connection.fetchrow("SELECT operation FROM jobs WHERE id = $1", job_id)
    return None if row is None else str(row[0])


async def retry_job(connection: asyncpg.Connection, job_id: UUID, input_json: str | None) -> ManualRetry | None:
    """Begin a new epoch of a job that has FAILED or was CANCELLED, with an input as JSON text, or with that of the epoch before.

    Returns None for an unknown id. Raises UniqueConflict where another job holds its key, InputRemoved where none is left.
    Not safe to repeat: raises StoreUnavailable where only the answer of the commit was lost.
    """
    done = False
    try:
        async with connection.transaction():
            job = await connection.fetchrow(_LOCK, job_id)
            if job is None:
                return None
            if job[1] is not None:
                await keyed_insert.take_unique_key(connection, job[1], job_id)
            row = await connection.fetchrow(_RETRY, job_id, input_json)
            assert row is not None  # noqa: S101 - a SELECT without FROM has a row
            if input_json is None and row[0] is None and row[1] in RETRYABLE and not await has_input(connection, job_id):
                raise InputRemoved
            done = True
    except CONNECTION_ERRORS as error:
        if done:
            connection.terminate()  # nobody knows what it is in the middle of
            raise StoreUnavailable from error
        raise
    return ManualRetry(job[0], row[0], State(row[1]))


async def has_input(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Return whether a job has an input.

    Asked while the job's row is locked (FOR NO KEY UPDATE), in a statement of its own after that, the answer holds until the commit:
    who removes inputs takes the same lock, and leaves live jobs alone.
    """
    return bool(await connection.fetchval(f"SELECT {HAS_INPUT.format(id='$1')}", job_id))
