"""The changes of bulk actions and their undo: statements for many jobs, with the locks of those for one job.

Each statement locks a job's row before it reads the state, so it sees concurrent claims, settles and retries. Rows of
`live` that another transaction holds are skipped, to avoid a deadlock with claiming workers; they are returned as
`locked_ids` and handled in a later step. Rows of `jobs` are locked in the order of their ids, unique keys in
alphabetical order, as in every statement that locks several. Each function is part of the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from common.domain.bulk_actions import WAITING, SkipReason
from common.domain.states import State
from common.store.bulk_actions.records import ChangedJob
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement, array_literal
from common.store.jobs.fragments import (
    HAS_INPUT,
    HOLDS_UNIQUE_KEY,
    NEEDS,
    NEXT_RUN_AT,
    NEXT_RUN_VERSION,
    ORIGINAL_RUN,
    REACTIVATED_BATCHES,
    RUNNING_KEY,
)

# The rows that another transaction holds.
_LOCKED = """SELECT l.id::text, 'locked' FROM unnest($2) AS d(id) JOIN live l ON l.id = d.id
        WHERE NOT EXISTS (SELECT FROM held WHERE held.id = l.id)"""

# The due time of a parked job is not its `claimable_at`, which is infinity. That of one that waits for parents is.
DUE_AT = "CASE claimable_at WHEN 'infinity' THEN coalesce(due_since, 'infinity') ELSE claimable_at END"

# A waiting job ends CANCELLED; a running one is asked to stop. With a run: only in that run, before its first attempt.
CANCEL = Statement(
    "bulk_action_cancel",
    "uuid, uuid[], smallint[], boolean, boolean",
    f"""
    WITH held AS MATERIALIZED (
        SELECT l.*, d.run AS wanted FROM unnest($2, $3) AS d(id, run) JOIN live l ON l.id = d.id
        ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    mine AS MATERIALIZED (
        SELECT * FROM held
        WHERE CASE WHEN worker IS NULL THEN $4 ELSE $5 END AND (wanted IS NULL OR (run = wanted AND attempt = 0))),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE worker IS NULL))),
    ended AS (
        INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status)
        SELECT id, tenant, run, attempt, released, rev + 1, 'CANCELLED' FROM mine WHERE worker IS NULL),
    asked AS (
        UPDATE live SET cancel_requested = true, rev = rev + (NOT cancel_requested)::int
        WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE worker IS NOT NULL))),
    written AS (
        INSERT INTO bulk_action_jobs (bulk_action, id, tenant, claimable_at, run, priority, crashes, isolated, needs)
        SELECT $1, id, tenant, CASE WHEN worker IS NULL THEN {DUE_AT} END, run, priority, crashes, isolated, needs
        FROM mine WHERE wanted IS NULL)
    SELECT id::text, CASE WHEN worker IS NULL THEN 'changed' ELSE 'asked' END FROM mine UNION ALL {_LOCKED}
    """,
)

# A due job gets a new position, because claims may have passed the front of its new priority. With a run (undo): only
# if the job still has the priority that the action gave it.
REPRIORITISE = Statement(
    "bulk_action_reprioritise",
    "uuid, uuid[], smallint[], smallint[], smallint",
    f"""
    WITH held AS MATERIALIZED (
        SELECT l.*, d.priority AS wanted, d.run AS of FROM unnest($2, $3, $4) AS d(id, priority, run)
        JOIN live l ON l.id = d.id ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    mine AS MATERIALIZED (
        SELECT * FROM held WHERE worker IS NULL AND (of IS NULL OR (run = of AND priority = $5))),
    moved AS (
        UPDATE live
        SET priority = mine.wanted, claimable_at = greatest(live.claimable_at, clock_timestamp()), rev = live.rev + 1
        FROM mine WHERE live.id = mine.id AND mine.priority <> mine.wanted),
    written AS (
        INSERT INTO bulk_action_jobs (bulk_action, id, tenant, run, priority)
        SELECT $1, id, tenant, run, priority FROM mine WHERE of IS NULL AND priority <> wanted)
    SELECT id::text, CASE priority WHEN wanted THEN 'unchanged' ELSE 'changed' END FROM mine UNION ALL {_LOCKED}
    """,
)

# A manual retry of one job locks the same row, and so do the deletions of a job or its input.
LOCK = Statement(
    "bulk_action_lock",
    "uuid[]",
    "SELECT j.id::text FROM unnest($1) AS d(id) JOIN jobs j ON j.id = d.id ORDER BY j.id FOR NO KEY UPDATE OF j",
)

# Read after the lock: if a job can run again, and the unique key that it needs. With a run: only if that was its last.
CHECK_RETRYABLE = Statement(
    "bulk_action_read",
    "uuid[], smallint[], text[]",
    f"""
    SELECT d.id::text, j.tenant,
           CASE WHEN l.id IS NOT NULL OR o.run IS NULL OR o.run <> d.run OR o.run = 32767 OR NOT o.status = ANY ($3)
                THEN '{SkipReason.MOVED_ON}'
                WHEN NOT {HAS_INPUT.format(id="d.id")} THEN '{SkipReason.INPUT_REMOVED}' END,
           CASE WHEN j.unique_while = 'both'
                  OR (j.unique_while = 'waiting' AND d.run IS NOT NULL AND o.attempt = 0
                      AND {ORIGINAL_RUN.format(row="o")})
                THEN j.unique_key END
    FROM unnest($1, $2) AS d(id, run)
    CROSS JOIN LATERAL (SELECT tenant, unique_key, unique_while FROM jobs WHERE jobs.id = d.id OFFSET 0) j
    LEFT JOIN LATERAL (
        SELECT id, run, attempt, status FROM outcomes WHERE outcomes.id = d.id ORDER BY run DESC LIMIT 1) o ON true
    LEFT JOIN LATERAL (SELECT id FROM live WHERE live.id = d.id OFFSET 0) l ON true
    """,
)

LOCK_KEYS = Statement(
    "bulk_action_lock_keys",
    "int[], text[], uuid[]",
    """
    INSERT INTO unique_keys (tenant, key, id) SELECT * FROM unnest($1, $2, $3)
    ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING true
    """,
)
TAKE_KEYS = Statement(
    "bulk_action_take_keys",
    "int[], text[], uuid[]",
    f"""
    UPDATE unique_keys SET id = d.id FROM unnest($1, $2, $3) AS d(tenant, key, id)
    WHERE unique_keys.tenant = d.tenant AND unique_keys.key = d.key
      AND (unique_keys.id = d.id OR NOT EXISTS (
          SELECT FROM live l JOIN jobs j ON j.id = l.id WHERE l.id = unique_keys.id AND {HOLDS_UNIQUE_KEY} OFFSET 0))
    RETURNING d.id::text
    """,
)

RETRY = Statement(
    "bulk_action_retry",
    "uuid, uuid[]",
    f"""
    WITH last AS MATERIALIZED (
        SELECT d.id, o.run, o.rev FROM unnest($2) AS d(id)
        CROSS JOIN LATERAL (SELECT run, rev FROM outcomes WHERE outcomes.id = d.id ORDER BY run DESC LIMIT 1) o),
    new AS (
        INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, run, rev, needs,
                          running_key)
        SELECT j.id, j.tenant, j.queue, j.priority, j.max_attempts, {NEXT_RUN_AT}, last.run + 1, last.rev + 1,
               {NEEDS.format(operation="j.operation", version="j.needed")}, {RUNNING_KEY}
        FROM last
        CROSS JOIN LATERAL (SELECT j.*, {NEXT_RUN_VERSION} AS needed FROM jobs j WHERE j.id = last.id OFFSET 0) j
        RETURNING id, tenant, run),
    again AS (
        INSERT INTO runs (id, tenant, run) SELECT id, tenant, run FROM new),
    {REACTIVATED_BATCHES}
    INSERT INTO bulk_action_jobs (bulk_action, id, tenant, run) SELECT $1, id, tenant, run FROM new RETURNING id::text
    """,
)

# The job gets back its earlier state. If its due time has passed, it is due now. If its deadline has passed, it ends.
UNDO_CANCEL = Statement(
    "bulk_action_restore",
    "uuid, uuid[]",
    f"""
    WITH was AS MATERIALIZED (
        SELECT a.*, o.attempt, o.released, o.rev FROM unnest($2) AS d(id)
        CROSS JOIN LATERAL (
            SELECT * FROM bulk_action_jobs WHERE bulk_action = $1 AND bulk_action_jobs.id = d.id OFFSET 0) a
        CROSS JOIN LATERAL (SELECT * FROM outcomes WHERE outcomes.id = a.id AND outcomes.run = a.run OFFSET 0) o),
    new AS (
        INSERT INTO live (
            id, tenant, queue, priority, attempt, released, max_attempts, claimable_at, run, rev, needs, isolated,
            crashes, running_key)
        SELECT w.id, j.tenant, j.queue, w.priority, w.attempt, w.released, j.max_attempts,
               greatest(w.claimable_at, clock_timestamp()), w.run + 1, w.rev + 1, w.needs, w.isolated, w.crashes,
               {RUNNING_KEY}
        FROM (SELECT * FROM was ORDER BY claimable_at, id) w
        CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = w.id OFFSET 0) j
        RETURNING id, tenant, run),
    again AS (
        INSERT INTO runs (id, tenant, run, undo) SELECT id, tenant, run, true FROM new),
    {REACTIVATED_BATCHES},
    late AS (
        INSERT INTO deadlines (id, tenant, at)
        SELECT j.id, j.tenant, j.deadline
        FROM new CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = new.id OFFSET 0) j
        WHERE j.deadline IS NOT NULL
        ON CONFLICT (id) DO NOTHING)
    SELECT id::text FROM new
    """,
)


@dataclass(slots=True)
class StepOutcome:
    """The outcome of a change for the jobs of one step."""

    changed_ids: list[str] = field(default_factory=list)  #: jobs that were changed
    cancels_requested: int = 0  #: the number of these that run and were asked to stop
    skip_reasons: list[SkipReason] = field(default_factory=list)  #: one for each job that was left as it is
    locked_ids: list[str] = field(default_factory=list)  #: jobs for a later step: another transaction holds their rows


def cancel_jobs(
    connection: WorkerConnection, action: str, ids: Sequence[str], statuses: frozenset[State]
) -> StepOutcome:
    """Cancel the waiting jobs and ask the running ones to stop, each only if `statuses` has their state."""
    cancel_waiting, cancel_running = bool(statuses & WAITING), State.IN_PROGRESS in statuses
    arguments = (action, array_literal(ids), _nulls(ids), cancel_waiting, cancel_running)
    return _outcome(ids, connection.run(CANCEL, arguments))


def retry_jobs(
    connection: WorkerConnection, action: str, ids: Sequence[str], statuses: frozenset[State]
) -> StepOutcome:
    """Begin another run of the jobs whose last outcome is one of `statuses`."""
    retryable, reasons = _lock_retryable(connection, ids, _nulls(ids), statuses)
    return StepOutcome([row[0] for row in connection.run(RETRY, (action, array_literal(retryable)))], 0, reasons)


def reprioritise_jobs(connection: WorkerConnection, action: str, ids: Sequence[str], priority: int) -> StepOutcome:
    """Set the priority of the waiting jobs."""
    arguments = (action, array_literal(ids), array_literal([priority] * len(ids)), _nulls(ids), priority)
    return _outcome(ids, connection.run(REPRIORITISE, arguments))


def undo_cancel(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> StepOutcome:
    """Put back the jobs that were waiting when they were cancelled."""
    waiting = [record for record in records if record.was_waiting]
    retryable, reasons = _lock_retryable(
        connection,
        [record.id for record in waiting],
        array_literal(record.run for record in waiting),
        frozenset({State.CANCELLED}),
    )
    reasons += [SkipReason.WAS_RUNNING] * (len(records) - len(waiting))
    return StepOutcome([row[0] for row in connection.run(UNDO_CANCEL, (action, array_literal(retryable)))], 0, reasons)


def undo_retry(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> StepOutcome:
    """Cancel the retried jobs whose new run has not begun an attempt."""
    ids, runs = [record.id for record in records], array_literal(record.run for record in records)
    return _outcome(ids, connection.run(CANCEL, (action, array_literal(ids), runs, True, False)))


def undo_reprioritise(
    connection: WorkerConnection, action: str, records: Sequence[ChangedJob], priority: int
) -> StepOutcome:
    """Restore the earlier priority of the waiting jobs that still have `priority`."""
    ids, runs = [record.id for record in records], array_literal(record.run for record in records)
    earlier = array_literal(record.priority for record in records)
    return _outcome(ids, connection.run(REPRIORITISE, (action, array_literal(ids), earlier, runs, priority)))


def _outcome(ids: Sequence[str], rows: Sequence[Row]) -> StepOutcome:
    """Return the outcome for jobs, from the rows of a statement. Jobs without a row have moved on."""
    outcome = StepOutcome(skip_reasons=[SkipReason.MOVED_ON] * (len(ids) - len(rows)))
    for job_id, result in rows:
        match result:
            case "locked":
                outcome.locked_ids.append(job_id)
            case "unchanged":
                outcome.skip_reasons.append(SkipReason.UNCHANGED)
            case _:
                outcome.changed_ids.append(job_id)
                outcome.cancels_requested += result == "asked"
    return outcome


def _lock_retryable(
    connection: WorkerConnection, ids: Sequence[str], runs: str, statuses: frozenset[State]
) -> tuple[list[str], list[SkipReason]]:
    """Lock jobs and their unique keys. Return the jobs that can run again, and a reason for each of the others."""
    connection.run(LOCK, (array_literal(ids),))
    rows = connection.run(CHECK_RETRYABLE, (array_literal(ids), runs, [str(status) for status in statuses]))
    reasons = [SkipReason.REMOVED] * (len(ids) - len(rows))
    reasons += [SkipReason(reason) for _, _, reason, _ in rows if reason is not None]
    keys: dict[tuple[int, str], str] = {}
    for job_id, tenant, reason, key in rows:
        if reason is None and key is not None:
            keys.setdefault((tenant, key), job_id)
    keyed = _take_unique_keys(connection, keys)
    retryable = [job_id for job_id, _, reason, key in rows if reason is None and (key is None or job_id in keyed)]
    return retryable, reasons + [SkipReason.UNIQUE_CONFLICT] * (len(ids) - len(reasons) - len(retryable))


def _take_unique_keys(connection: WorkerConnection, keys: dict[tuple[int, str], str]) -> set[str]:
    """Take unique keys of tenants, each for a job; return the jobs that got theirs.

    A first statement locks the keys, so that the second one sees with its later snapshot which job holds each of them.
    """
    if not keys:
        return set()
    ordered = sorted(keys)
    tenants, names = array_literal(tenant for tenant, _ in ordered), [name for _, name in ordered]
    arguments = (tenants, names, array_literal(keys[key] for key in ordered))
    connection.run(LOCK_KEYS, arguments)
    return {row[0] for row in connection.run(TAKE_KEYS, arguments)}


def _nulls(ids: Sequence[str]) -> str:
    return array_literal(["NULL"] * len(ids))
