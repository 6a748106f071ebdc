"""The steps of bulk actions: each scans the next jobs, changes them and stores its position, in one transaction.

So after a crash of the controller, or a commit whose answer was lost, no job is left out or processed twice.
"""

import json
from dataclasses import dataclass, replace
from uuid import UUID

from common import failpoints
from common.domain.bulk_actions import FINAL_PHASES, ActionKind, Phase, add_reasons
from common.domain.job_search import JobSearch, ListPosition, ScanIndex
from common.store.bulk_actions import changes, records
from common.store.bulk_actions.changes import StepOutcome
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement, array_literal
from common.store.listing import index_scan
from common.store.listing.index_scan import LAST_SCANNED, PAGE_STATEMENTS, TYPES, ScanLimits
from common.store.tenancy.only_tenant import is_indexed

MAX_EXPIRED = 1_000  # actions in one transaction
MAX_DELETED = 10_000  # records in one transaction
MAX_INPUTS = 500  # rows in one step that compares inputs

# Actions scan by id, from the oldest job on, so never the index by the time of the end.
_MATCHES = f"SELECT p.n, p.id::text, p.status FROM page p UNION ALL SELECT l.n, l.id::text, NULL {LAST_SCANNED}"
SCANS = {
    (index, indexed): Statement(
        f"bulk_action_scan_{index}{'' if indexed else '_of_default'}",
        TYPES,
        PAGE_STATEMENTS[index, False, indexed] + _MATCHES,
    )
    for indexed in (False, True)
    for index in (ScanIndex.LIVE, ScanIndex.UNSUCCESSFUL, ScanIndex.TAGGED)
}

# Every second turn is that of an action without a step, the newest first. So a new action waits neither for all others
# nor for those that were started with it, and actions that are started all the time take half of the turns at most.
ACTIVE = Statement(
    "bulk_actions_active",
    "bigint",
    """
    SELECT id::text, jobs_per_second FROM (
        SELECT id, jobs_per_second, stepped_at,
               row_number() OVER (PARTITION BY stepped_at IS NULL ORDER BY stepped_at, id DESC) AS turn
        FROM bulk_actions WHERE phase IN ('RUNNING', 'UNDOING')) AS actions
    ORDER BY turn, stepped_at NULLS FIRST LIMIT $1
    """,
)

# A client that stops the action at the same time wins. Every later wait for a lock is bounded by the limit.
BEGIN = Statement(
    "bulk_action_begin",
    "uuid, text",
    """
    SELECT kind, phase, filter::text, priority, position::text, locked::text[], skipped::text, not_undone::text,
           set_config('lock_timeout', $2, true), tenant, first - done
    FROM bulk_actions WHERE id = $1 AND phase IN ('RUNNING', 'UNDOING') FOR UPDATE SKIP LOCKED
    """,
)
ADVANCE = Statement(
    "bulk_action_advance",
    "uuid, text, uuid, uuid[], bigint, bigint, bigint, bigint, json, json",
    """
    UPDATE bulk_actions
    SET changed_at = CASE WHEN phase = $2 THEN changed_at ELSE clock_timestamp() END, phase = $2,
        stepped_at = clock_timestamp(), position = coalesce($3, position), locked = $4, matched = matched + $5,
        done = done + $6, cancels_requested = cancels_requested + $7, undone = undone + $8, skipped = $9,
        not_undone = $10
    WHERE id = $1 RETURNING true
    """,
)
POSTPONE = Statement(
    "bulk_action_postpone",
    "uuid",
    """
    UPDATE bulk_actions SET stepped_at = clock_timestamp()
    WHERE id = (SELECT id FROM bulk_actions WHERE id = $1 FOR UPDATE SKIP LOCKED) RETURNING true
    """,
)
FAIL = Statement(
    "bulk_action_fail",
    "uuid, text",
    """
    UPDATE bulk_actions SET phase = 'STOPPED', changed_at = clock_timestamp(), error = $2
    WHERE id = $1 AND phase IN ('RUNNING', 'UNDOING') RETURNING true
    """,
)
EXPIRE = Statement(
    "bulk_actions_expire",
    "float8, float8, bigint",
    """
    UPDATE bulk_actions SET phase = 'EXPIRED', changed_at = clock_timestamp() WHERE id = ANY (ARRAY(
        SELECT id FROM bulk_actions
        WHERE phase NOT IN ('RUNNING', 'UNDOING', 'EXPIRED')
          AND changed_at < clock_timestamp() - CASE phase WHEN 'PREVIEW' THEN $1 ELSE $2 END * interval '1 s'
        LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING true
    """,
)
# An action is deleted once it has no records, so in the transaction after the one that deleted the last of them.
REMOVE = Statement(
    "bulk_actions_delete",
    "bigint",
    """
    WITH gone AS (
        DELETE FROM bulk_action_jobs WHERE ctid = ANY (ARRAY(
            SELECT j.ctid FROM bulk_actions a JOIN bulk_action_jobs j ON j.bulk_action = a.id
            WHERE a.phase = 'EXPIRED' LIMIT $1)) RETURNING true),
    empty AS (
        DELETE FROM bulk_actions a
        WHERE phase = 'EXPIRED' AND NOT EXISTS (SELECT FROM bulk_action_jobs j WHERE j.bulk_action = a.id)
        RETURNING true)
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM empty)
    """,
)


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of a step."""

    kind: ActionKind
    before: Phase  #: RUNNING or UNDOING
    after: Phase
    outcome: StepOutcome

    @property
    def jobs(self) -> int:
        """The number of processed jobs: changed and skipped."""
        return len(self.outcome.changed_ids) + len(self.outcome.skip_reasons)

    @property
    def has_locked_jobs(self) -> bool:
        """True if another transaction held the rows of some jobs, so the next step should not follow at once."""
        return bool(self.outcome.locked_ids)


@dataclass(frozen=True, slots=True)
class _BulkAction:
    id: str
    tenant: int
    kind: ActionKind
    phase: Phase
    search: JobSearch
    priority: int
    position: ListPosition | None
    locked: list[str]
    skipped: dict[str, int]
    not_undone: dict[str, int]
    first_left: int | None  #: jobs that it changes before it stops by itself; None: all


def active(connection: WorkerConnection, limit: int) -> list[tuple[str, int]]:
    """Return id and rate, in jobs a second, of running and undoing actions, in the order of their turns.

    At most `limit`: in turn those without a step, and those whose last step is the longest ago.
    """
    return [(row[0], row[1]) for row in connection.run(ACTIVE, (limit,))]


def run_step(
    connection: WorkerConnection, bulk_action_id: str, limits: ScanLimits, lock_timeout_s: float
) -> Step | None:
    """Process the next jobs of an action. Atomic. None: it is not active, or another transaction changes it now.

    Raises DatabaseUnavailable, with SQLSTATE 55P03, if another transaction holds a row of `jobs` or a unique key for
    longer than `lock_timeout_s` seconds.
    """
    with connection.transaction():
        rows = connection.run(BEGIN, (bulk_action_id, f"{round(lock_timeout_s * 1000)}ms"))
        if not rows:
            return None
        action = _from_row(bulk_action_id, rows[0])
        if action.phase is Phase.RUNNING:
            step = _apply(connection, action, limits)
        else:
            step = _undo(connection, action, limits.jobs)
        failpoints.reach("bulk_action.before_commit")
    return step


def postpone(connection: WorkerConnection, bulk_action_id: str) -> None:
    """Put an action whose step is to be repeated behind the other active ones."""
    connection.run(POSTPONE, (bulk_action_id,))


def fail(connection: WorkerConnection, bulk_action_id: str, error: str) -> None:
    """Stop an action with the error of PostgreSQL that refused its step."""
    connection.run(FAIL, (bulk_action_id, error))


def expire(connection: WorkerConnection, preview_s: float, keep_s: float) -> int:
    """Expire old actions and delete some expired rows. Return the number of deleted rows: call it until that is 0.

    A preview expires `preview_s` seconds after it was made, any other inactive action `keep_s` seconds after its last
    change.
    """
    connection.run(EXPIRE, (preview_s, keep_s, MAX_EXPIRED))
    return int(connection.run(REMOVE, (MAX_DELETED,))[0][0])


def _from_row(bulk_action_id: str, row: Row) -> _BulkAction:
    kind, phase, filters, priority, position, locked, skipped, not_undone, _, tenant, first_left = row
    return _BulkAction(
        bulk_action_id,
        tenant,
        ActionKind(kind),
        Phase(phase),
        JobSearch.from_json(filters),
        priority or 0,
        None if position is None else ListPosition(UUID(position)),
        locked,
        json.loads(skipped),
        json.loads(not_undone),
        first_left,
    )


def _apply(connection: WorkerConnection, action: _BulkAction, limits: ScanLimits) -> Step:
    """Change the jobs whose rows were locked before, then the next matches."""
    if action.first_left is not None:
        limits = replace(limits, jobs=max(1, min(limits.jobs, action.first_left)))
    ids, position, is_last = action.locked[: limits.jobs], None, False
    if len(ids) < limits.jobs:
        matches, position, is_last = _next_matches(connection, action, replace(limits, jobs=limits.jobs - len(ids)))
        ids = ids + matches
    outcome = _change(connection, action, ids)
    outcome.locked_ids += action.locked[limits.jobs :]
    after = FINAL_PHASES[action.phase] if is_last and not outcome.locked_ids else action.phase
    if after is Phase.RUNNING and action.first_left is not None and len(outcome.changed_ids) >= action.first_left:
        after = Phase.STOPPED
    _advance(connection, action, after, position, outcome)
    return Step(action.kind, action.phase, after, outcome)


def _next_matches(
    connection: WorkerConnection, action: _BulkAction, limits: ScanLimits
) -> tuple[list[str], UUID | None, bool]:
    """Return the next matching jobs, the new position, and True if there are no more."""
    search = action.search
    if search.input:
        limits = replace(limits, scanned=min(limits.scanned, MAX_INPUTS))
    arguments = [
        str(argument) if isinstance(argument, UUID) else argument
        for argument in index_scan.scan_arguments(action.tenant, search, action.position, limits)
    ]
    rows = [
        {"n": n, "id": UUID(job_id), "at": None, "status": status}
        for n, job_id, status in connection.run(SCANS[search.index, is_indexed(action.tenant)], arguments)
    ]
    last = rows[-1]["id"] if rows else None
    page = index_scan.page_of_rows(rows, limits)
    return [str(job["id"]) for job in page.jobs], page.next.job_id if page.next else last, page.next is None


def _change(connection: WorkerConnection, action: _BulkAction, ids: list[str]) -> StepOutcome:
    statuses = action.search.statuses
    match action.kind:
        case ActionKind.CANCEL:
            return changes.cancel_jobs(connection, action.id, ids, statuses)
        case ActionKind.RETRY:
            return changes.retry_jobs(connection, action.id, ids, statuses)
        case ActionKind.REPRIORITISE:
            return changes.reprioritise_jobs(connection, action.id, ids, action.priority)


def _undo(connection: WorkerConnection, action: _BulkAction, limit: int) -> Step:
    """Undo the changes of the next records."""
    changed = records.read(connection, action.id, limit)
    match action.kind:
        case ActionKind.CANCEL:
            outcome = changes.undo_cancel(connection, action.id, changed)
        case ActionKind.RETRY:
            outcome = changes.undo_retry(connection, action.id, changed)
        case ActionKind.REPRIORITISE:
            outcome = changes.undo_reprioritise(connection, action.id, changed, action.priority)
    records.delete(connection, action.id, [record for record in changed if record.id not in outcome.locked_ids])
    after = action.phase if len(changed) == limit or outcome.locked_ids else FINAL_PHASES[action.phase]
    _advance(connection, action, after, None, outcome)
    return Step(action.kind, action.phase, after, outcome)


def _advance(
    connection: WorkerConnection, action: _BulkAction, after: Phase, position: UUID | None, outcome: StepOutcome
) -> None:
    """Store the phase, position and counts of an action after a step."""
    skipped, not_undone, locked = action.skipped, action.not_undone, action.locked
    changed, reasons = len(outcome.changed_ids), outcome.skip_reasons
    if action.phase is Phase.RUNNING:
        skipped, locked = add_reasons(skipped, reasons), outcome.locked_ids
        counts = (changed + len(reasons), changed, outcome.cancels_requested, 0)
    else:
        not_undone = add_reasons(not_undone, reasons)
        counts = (0, 0, 0, changed)
    arguments = (action.id, after, None if position is None else str(position), array_literal(locked), *counts)
    connection.run(ADVANCE, (*arguments, json.dumps(skipped), json.dumps(not_undone)))
