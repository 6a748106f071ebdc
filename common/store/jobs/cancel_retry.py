"""Cancel and manual retry of one job, as clients request them."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.domain.errors import InputRemoved, StoreUnavailable
from common.domain.states import TERMINAL, State
from common.domain.tenancy.audit import AuditEntry
from common.store.connection.asyncpg_pool import is_outage
from common.store.connection.caller import for_caller
from common.store.jobs import keyed_insert
from common.store.jobs.fragments import (
    HAS_INPUT,
    NEEDS,
    NEWEST_VERSION,
    NEXT_RUN_AT,
    NEXT_RUN_VERSION,
    REACTIVATED_BATCHES,
    RUNNING_KEY,
)
from common.store.tenancy import audit

# Claim, settle, release and cancel lock the job's row in `live`, so they run one after the other. Each of these
# statements sees the row as of its lock. If the job has changed between two of them, the next one finds it by its newer
# snapshot.
_CALLER = "ARRAY[$1::int]"
_CANCEL_RUNNING = f"""
WITH asked AS (
    UPDATE live SET cancel_requested = true, rev = rev + (NOT cancel_requested)::int
    WHERE id = $2 AND tenant = $1 AND worker IS NOT NULL RETURNING id)
{for_caller("SELECT id FROM asked", _CALLER)}
"""
_STATE = for_caller("SELECT status FROM job_states WHERE id = $2 AND tenant = $1", _CALLER)
_OPERATION = for_caller("SELECT operation FROM jobs WHERE id = $2 AND tenant = $1", _CALLER)
_CANCELS = ((keyed_insert.CANCEL_WAITING, State.CANCELLED), (_CANCEL_RUNNING, State.IN_PROGRESS))
MAX_ROUNDS = 20  # so often would the job have to be released and claimed again between the same two statements

RETRYABLE = (State.FAILED, State.CANCELLED)

# Serialises concurrent manual retries: the second one waits here, and its next statement sees the first one's changes.
# It sets the tenant for the statements that follow, which are part of the same transaction.
_LOCK = for_caller(
    """SELECT queue, CASE unique_while WHEN 'both' THEN unique_key END FROM jobs
    WHERE id = $2 AND tenant = $1 FOR NO KEY UPDATE""",
    _CALLER,
)

# NOT EXISTS as well as ON CONFLICT: ON CONFLICT waits for a concurrent settle to commit, and the outcome that it stores
# is unknown to this snapshot.
_RETRY = f"""
WITH last AS (
    SELECT run, rev, status FROM outcomes WHERE id = $2 AND tenant = $1 ORDER BY run DESC LIMIT 1),
job AS (
    SELECT j.*, CASE WHEN $3::text IS NULL THEN {NEXT_RUN_VERSION} ELSE {NEWEST_VERSION} END AS needed,
           {RUNNING_KEY} AS running_key, {NEXT_RUN_AT} AS next_run_at
    FROM jobs j WHERE j.id = $2 AND j.tenant = $1),
new AS (
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, run, rev, needs,
                      running_key)
    SELECT job.id, job.tenant, job.queue, job.priority, job.max_attempts, job.next_run_at, last.run + 1, last.rev + 1,
           {NEEDS.format(operation="job.operation", version="job.needed")}, job.running_key
    FROM job CROSS JOIN last
    WHERE last.status IN ('FAILED', 'CANCELLED') AND last.run < 32767
      AND NOT EXISTS (SELECT FROM live WHERE live.id = $2)
      AND ($3::text IS NOT NULL OR {HAS_INPUT.format(id="$2")})
    ON CONFLICT (id) DO NOTHING
    RETURNING id, tenant, run),
run_row AS (
    INSERT INTO runs (id, tenant, run, input) SELECT id, tenant, run, $3::text::json FROM new),
{REACTIVATED_BATCHES}
SELECT (SELECT run FROM new), (SELECT status FROM job_states WHERE id = $2 AND tenant = $1)
"""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The result of a cancel."""

    state: State  #: CANCELLED, IN_PROGRESS for a job that was asked to stop, or the state in which it had finished
    has_changed: bool  #: False: it had finished before


@dataclass(frozen=True, slots=True)
class ManualRetry:
    """The result of a manual retry."""

    queue: str
    run: int | None  #: number of the new run; None: the job was not retried
    state: State  #: the job's state before


async def cancel_job(connection: asyncpg.Connection, tenant: int, job_id: UUID, entry: AuditEntry) -> Cancel | None:
    """Cancel a tenant's waiting job, or ask a running one to stop, and store the audit entry if it did. Safe to repeat.

    Return None for an unknown id.
    """
    for _ in range(MAX_ROUNDS):
        for statement, state in _CANCELS:
            async with connection.transaction():
                if await connection.fetchrow(statement, tenant, job_id):
                    await audit.record(connection, entry)
                    return Cancel(state, has_changed=True)
        row = await connection.fetchrow(_STATE, tenant, job_id)
        if row is None:
            return None
        if row[0] in TERMINAL:
            return Cancel(State(row[0]), has_changed=False)
    raise StoreUnavailable


async def operation_name(connection: asyncpg.Connection, tenant: int, job_id: UUID) -> str | None:
    """Return the name of the operation of a tenant's job; None for an unknown id."""
    row = await connection.fetchrow(_OPERATION, tenant, job_id)
    return None if row is None else str(row[0])


async def retry_job(
    connection: asyncpg.Connection, tenant: int, job_id: UUID, input_json: str | None, entry: AuditEntry
) -> ManualRetry | None:
    """Start a new run of a tenant's FAILED or CANCELLED job, and store the audit entry if it did. Atomic.

    `input_json`: its input as JSON text; None: that of the run before. Return None for an unknown id. Raises
    UniqueConflict if another job holds its key, and InputRemoved if its input was deleted. Not safe to repeat: raises
    StoreUnavailable if the outcome of the commit is unknown.
    """
    is_commit_due = False
    try:
        async with connection.transaction():
            job = await connection.fetchrow(_LOCK, tenant, job_id)
            if job is None:
                return None
            if job[1] is not None:
                await keyed_insert.take_unique_key(connection, tenant, job[1], job_id)
            row = await connection.fetchrow(_RETRY, tenant, job_id, input_json)
            assert row is not None  # noqa: S101 - a SELECT without FROM has a row
            if (
                input_json is None
                and row[0] is None
                and row[1] in RETRYABLE
                and not await has_input(connection, job_id)
            ):
                raise InputRemoved
            if row[0] is not None:
                await audit.record(connection, entry)
            is_commit_due = True
    except Exception as error:
        if is_commit_due and is_outage(error):
            connection.terminate()  # its state is unknown
            raise StoreUnavailable from error
        raise
    return ManualRetry(job[0], row[0], State(row[1]))


async def has_input(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Return True if the job has an input, in a transaction that is its tenant's.

    If the transaction has locked the job's row (FOR NO KEY UPDATE) in an earlier statement, this holds until the
    commit: the deletion of inputs takes the same lock, and skips live jobs.
    """
    return bool(await connection.fetchval(f"SELECT {HAS_INPUT.format(id='$1')}", job_id))
