"""What an action does to many jobs, and takes back: a statement each, under the locks that those take who do it to one.

One row, one lock: a job that was claimed, settled or retried since it was looked at is found as it is once the lock is had. Nobody waits for a row of
`live`: a worker that claims holds some while it waits for others. Those of others are named, and come later. Rows of `jobs` are locked in the order of
their ids, keys in their own, as everybody else does who locks several. Each function is part of the caller's transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from common.domain.bulk_actions import WAITING, SkipReason
from common.domain.states import State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement, array_literal
from common.store.jobs.fragments import HAS_INPUT, HOLDS_UNIQUE_KEY, NEEDS, NEXT_RUN_VERSION, ORIGINAL_RUN

# What is there and was not to be had.
_PASSED = "SELECT l.id::text, 'passed' FROM unnest($2) AS d(id) JOIN live l ON l.id = d.id WHERE NOT EXISTS (SELECT FROM held WHERE held.id = l.id)"

# One that waits ends; one that runs is asked to stop. With an epoch: only in that one, and only before its first attempt.
CANCEL = Statement(
    "action_cancel",
    "uuid, uuid[], smallint[], boolean, boolean",
    f"""
    WITH held AS MATERIALIZED (
        SELECT l.*, d.epoch AS wanted FROM unnest($2, $3) AS d(id, epoch) JOIN live l ON l.id = d.id ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    mine AS MATERIALIZED (
        SELECT * FROM held WHERE CASE WHEN worker IS NULL THEN $4 ELSE $5 END AND (wanted IS NULL OR (epoch = wanted AND attempt = 0))),
    gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE worker IS NULL))),
    ended AS (
        INSERT INTO outcomes (id, epoch, attempt, released, rev, status)
        SELECT id, epoch, attempt, released, rev + 1, 'CANCELLED' FROM mine WHERE worker IS NULL),
    asked AS (
        UPDATE live SET cancel = true, rev = rev + (NOT cancel)::int WHERE id = ANY (ARRAY(SELECT id FROM mine WHERE worker IS NOT NULL))),
    written AS (
        INSERT INTO action_jobs (action, id, pos, epoch, priority, crashes, alone, needs)
        SELECT $1, id, CASE WHEN worker IS NULL THEN pos END, epoch, priority, crashes, alone, needs FROM mine WHERE wanted IS NULL)
    SELECT id::text, CASE WHEN worker IS NULL THEN 'changed' ELSE 'asked' END FROM mine UNION ALL {_PASSED}
    """,
)

# One that is due gets a new place: those at the front of its new priority may have been passed already. With what it had: only if it still has that.
REPRIORITISE = Statement(
    "action_reprioritise",
    "uuid, uuid[], smallint[], smallint[], smallint",
    f"""
    WITH held AS MATERIALIZED (
        SELECT l.*, d.priority AS wanted, d.epoch AS of FROM unnest($2, $3, $4) AS d(id, priority, epoch) JOIN live l ON l.id = d.id
        ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    mine AS MATERIALIZED (
        SELECT * FROM held WHERE worker IS NULL AND (of IS NULL OR (epoch = of AND priority = $5))),
    moved AS (
        UPDATE live SET priority = mine.wanted, pos = greatest(live.pos, clock_timestamp()), rev = live.rev + 1
        FROM mine WHERE live.id = mine.id AND mine.priority <> mine.wanted),
    written AS (
        INSERT INTO action_jobs (action, id, epoch, priority) SELECT $1, id, epoch, priority FROM mine WHERE of IS NULL AND priority <> wanted)
    SELECT id::text, CASE priority WHEN wanted THEN 'unchanged' ELSE 'changed' END FROM mine UNION ALL {_PASSED}
    """,
)

# A retry by request locks the same row, and so does who removes a job or its input.
LOCK = Statement("action_lock", "uuid[]", "SELECT j.id::text FROM unnest($1) AS d(id) JOIN jobs j ON j.id = d.id ORDER BY j.id FOR NO KEY UPDATE OF j")

# Asked after the lock: whether a job can live again, as it last ended, and under which key. With an epoch: only if it ended in that one.
CHECK_RETRYABLE = Statement(
    "action_look",
    "uuid[], smallint[], text[]",
    f"""
    SELECT d.id::text,
           CASE WHEN l.id IS NOT NULL OR o.epoch IS NULL OR o.epoch <> d.epoch OR o.epoch = 32767 OR NOT o.status = ANY ($3) THEN '{SkipReason.MOVED_ON}'
                WHEN NOT {HAS_INPUT.format(id="d.id")} THEN '{SkipReason.INPUT_REMOVED}' END,
           CASE WHEN j.unique_while = 'both' OR (j.unique_while = 'waiting' AND d.epoch IS NOT NULL AND o.attempt = 0 AND {ORIGINAL_RUN.format(of="o")})
                THEN j.unique_key END
    FROM unnest($1, $2) AS d(id, epoch)
    CROSS JOIN LATERAL (SELECT unique_key, unique_while FROM jobs WHERE jobs.id = d.id OFFSET 0) j
    LEFT JOIN LATERAL (SELECT id, epoch, attempt, status FROM outcomes WHERE outcomes.id = d.id ORDER BY epoch DESC LIMIT 1) o ON true
    LEFT JOIN LATERAL (SELECT id FROM live WHERE live.id = d.id OFFSET 0) l ON true
    """,
)

LOCK_KEYS = Statement(
    "action_lock_keys",
    "text[], uuid[]",
    "INSERT INTO uniq (key, id) SELECT * FROM unnest($1, $2) ON CONFLICT (tenant, key) DO UPDATE SET key = excluded.key RETURNING true",
)
TAKE_KEYS = Statement(
    "action_take_keys",
    "text[], uuid[]",
    f"""
    UPDATE uniq SET id = d.id FROM unnest($1, $2) AS d(key, id)
    WHERE uniq.tenant = 1 AND uniq.key = d.key
      AND (uniq.id = d.id OR NOT EXISTS (SELECT FROM live l JOIN jobs j ON j.id = l.id WHERE l.id = uniq.id AND {HOLDS_UNIQUE_KEY} OFFSET 0))
    RETURNING d.id::text
    """,
)

RETRY = Statement(
    "action_retry",
    "uuid, uuid[]",
    f"""
    WITH last AS MATERIALIZED (
        SELECT d.id, o.epoch, o.rev FROM unnest($2) AS d(id)
        CROSS JOIN LATERAL (SELECT epoch, rev FROM outcomes WHERE outcomes.id = d.id ORDER BY epoch DESC LIMIT 1) o),
    new AS (
        INSERT INTO live (id, tenant, queue, priority, max_attempts, pos, epoch, rev, needs)
        SELECT j.id, j.tenant, j.queue, j.priority, j.max_attempts, clock_timestamp(), last.epoch + 1, last.rev + 1,
               {NEEDS.format(operation="j.operation", version="j.needed")}
        FROM last CROSS JOIN LATERAL (SELECT j.*, {NEXT_RUN_VERSION} AS needed FROM jobs j WHERE j.id = last.id OFFSET 0) j
        RETURNING id, epoch),
    again AS (
        INSERT INTO reruns (id, epoch) SELECT id, epoch FROM new)
    INSERT INTO action_jobs (action, id, epoch) SELECT $1, id, epoch FROM new RETURNING id::text
    """,
)

# As it was, but for its place where that is due by now. A deadline that has passed meanwhile ends it.
UNDO_CANCEL = Statement(
    "action_put_back",
    "uuid, uuid[]",
    """
    WITH was AS MATERIALIZED (
        SELECT a.*, o.attempt, o.released, o.rev FROM unnest($2) AS d(id)
        CROSS JOIN LATERAL (SELECT * FROM action_jobs WHERE action = $1 AND action_jobs.id = d.id OFFSET 0) a
        CROSS JOIN LATERAL (SELECT * FROM outcomes WHERE outcomes.id = a.id AND outcomes.epoch = a.epoch OFFSET 0) o),
    new AS (
        INSERT INTO live (id, tenant, queue, priority, attempt, released, max_attempts, pos, epoch, rev, needs, alone, crashes)
        SELECT w.id, j.tenant, j.queue, w.priority, w.attempt, w.released, j.max_attempts, greatest(w.pos, clock_timestamp()), w.epoch + 1, w.rev + 1,
               w.needs, w.alone, w.crashes
        FROM (SELECT * FROM was ORDER BY pos, id) w CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = w.id OFFSET 0) j
        RETURNING id, epoch),
    again AS (
        INSERT INTO reruns (id, epoch, undo) SELECT id, epoch, true FROM new),
    late AS (
        INSERT INTO deadlines (id, at)
        SELECT j.id, j.deadline FROM new CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = new.id OFFSET 0) j WHERE j.deadline IS NOT NULL
        ON CONFLICT (id) DO NOTHING)
    SELECT id::text FROM new
    """,
)

CHANGED_JOBS = Statement(
    "action_records", "uuid, bigint", "SELECT id::text, epoch, priority, pos IS NOT NULL FROM action_jobs WHERE action = $1 ORDER BY id LIMIT $2"
)
DELETE_RECORDS = Statement("action_forget", "uuid, uuid[]", "DELETE FROM action_jobs WHERE action = $1 AND id = ANY ($2) RETURNING true")


@dataclass(frozen=True, slots=True)
class ChangedJob:
    """What an action did to a job."""

    id: str
    epoch: int
    priority: int | None  #: before
    was_waiting: bool  #: and was cancelled


@dataclass(slots=True)
class StepOutcome:
    """What became of some jobs."""

    changed_ids: list[str] = field(default_factory=list)  #: that were changed
    asked_to_stop: int = 0  #: of these, that run and were asked to stop
    skip_reasons: list[SkipReason] = field(default_factory=list)  #: of the others
    passed_ids: list[str] = field(default_factory=list)  #: whose turn comes later: somebody else has their rows now


def cancel_jobs(connection: WorkerConnection, action: str, ids: Sequence[str], statuses: frozenset[State]) -> StepOutcome:
    """End those that wait and ask those that run to stop, each only if such are to be found."""
    waits, runs = bool(statuses & WAITING), State.IN_PROGRESS in statuses
    return _outcome(ids, connection.run(CANCEL, (action, array_literal(ids), _nulls(ids), waits, runs)))


def retry_jobs(connection: WorkerConnection, action: str, ids: Sequence[str], statuses: frozenset[State]) -> StepOutcome:
    """Let those run once more that ended so."""
    free, reasons = _lock_retryable(connection, ids, _nulls(ids), statuses)
    return StepOutcome([row[0] for row in connection.run(RETRY, (action, array_literal(free)))], 0, reasons)


def reprioritise_jobs(connection: WorkerConnection, action: str, ids: Sequence[str], priority: int) -> StepOutcome:
    """Give those another priority that wait."""
    return _outcome(ids, connection.run(REPRIORITISE, (action, array_literal(ids), array_literal([priority] * len(ids)), _nulls(ids), priority)))


def changed_jobs(connection: WorkerConnection, action: str, limit: int) -> list[ChangedJob]:
    """Return what an action did, by id, at most so many jobs."""
    return [ChangedJob(*row) for row in connection.run(CHANGED_JOBS, (action, limit))]


def delete_records(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> None:
    """Delete what an action did: it has been undone, or cannot be."""
    connection.run(DELETE_RECORDS, (action, array_literal(one.id for one in records)))


def undo_cancel(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> StepOutcome:
    """Let those live on, as they were, that waited and were cancelled."""
    waited = [one for one in records if one.was_waiting]
    free, reasons = _lock_retryable(connection, [one.id for one in waited], array_literal(one.epoch for one in waited), frozenset({State.CANCELLED}))
    reasons += [SkipReason.WAS_RUNNING] * (len(records) - len(waited))
    return StepOutcome([row[0] for row in connection.run(UNDO_CANCEL, (action, array_literal(free)))], 0, reasons)


def undo_retry(connection: WorkerConnection, action: str, records: Sequence[ChangedJob]) -> StepOutcome:
    """End what was retried and has not begun."""
    ids = [one.id for one in records]
    return _outcome(ids, connection.run(CANCEL, (action, array_literal(ids), array_literal(one.epoch for one in records), True, False)))


def undo_reprioritise(connection: WorkerConnection, action: str, records: Sequence[ChangedJob], priority: int) -> StepOutcome:
    """Give those that wait and still have this priority the one that they had before."""
    ids, before, epochs = [one.id for one in records], array_literal(one.priority for one in records), array_literal(one.epoch for one in records)
    return _outcome(ids, connection.run(REPRIORITISE, (action, array_literal(ids), before, epochs, priority)))


def _outcome(ids: Sequence[str], found: Sequence[Row]) -> StepOutcome:
    """Return what became of jobs, of those that a statement tells of and of the others."""
    changed = StepOutcome(skip_reasons=[SkipReason.MOVED_ON] * (len(ids) - len(found)))
    for job_id, how in found:
        match how:
            case "passed":
                changed.passed_ids.append(job_id)
            case "unchanged":
                changed.skip_reasons.append(SkipReason.UNCHANGED)
            case _:
                changed.changed_ids.append(job_id)
                changed.asked_to_stop += how == "asked"
    return changed


def _lock_retryable(connection: WorkerConnection, ids: Sequence[str], epochs: str, statuses: frozenset[State]) -> tuple[list[str], list[SkipReason]]:
    """Lock jobs and their unique keys; return those that can live again, and why the others cannot."""
    connection.run(LOCK, (array_literal(ids),))
    found = connection.run(CHECK_RETRYABLE, (array_literal(ids), epochs, [str(status) for status in statuses]))
    reasons = [SkipReason.REMOVED] * (len(ids) - len(found)) + [SkipReason(row[1]) for row in found if row[1] is not None]
    keys: dict[str, str] = {}
    for job_id, why, key in found:
        if why is None and key is not None:
            keys.setdefault(key, job_id)
    taken = _take_unique_keys(connection, keys)
    free = [job_id for job_id, why, key in found if why is None and (key is None or job_id in taken)]
    return free, reasons + [SkipReason.UNIQUE_CONFLICT] * (len(ids) - len(reasons) - len(free))


def _take_unique_keys(connection: WorkerConnection, keys: dict[str, str]) -> set[str]:
    """Take unique keys, each for a job; return the jobs that have theirs now. Locked first: who held one is asked for with a later snapshot."""
    if not keys:
        return set()
    wanted = sorted(keys)
    arguments = (wanted, array_literal(keys[key] for key in wanted))
    connection.run(LOCK_KEYS, arguments)
    return {row[0] for row in connection.run(TAKE_KEYS, arguments)}


def _nulls(ids: Sequence[str]) -> str:
    return array_literal(["NULL"] * len(ids))
