"""The turns of actions: each looks at the next jobs, changes them and writes down how far it is, in one transaction.

So a controller that dies, or a commit whose answer is lost, neither leaves a job out nor comes to it twice.
"""

import json
from dataclasses import dataclass, replace
from uuid import UUID

from common import failpoints
from common.domain.bulk_actions import FINAL_PHASES, ActionKind, Phase, add_reasons
from common.domain.job_search import JobSearch, ListPosition, ScanIndex
from common.store.bulk_actions import changes
from common.store.bulk_actions.changes import StepOutcome
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Row, Statement, array_literal
from common.store.listing import index_scan
from common.store.listing.index_scan import LAST_SCANNED, PAGE_STATEMENTS, TYPES, ScanLimits

MAX_EXPIRED = 1_000  # actions, at one look
MAX_DELETED = 10_000  # of what they did, in one transaction

# Which indexes the walks of actions go by: none is by the time of an end, and all go from the oldest job on.
_FOUND = f"SELECT p.n, p.id::text, p.status FROM page p UNION ALL SELECT l.n, l.id::text, NULL {LAST_SCANNED}"
SCANS = {
    way: Statement(f"action_walk_{way}", TYPES, PAGE_STATEMENTS[way, False] + _FOUND) for way in (ScanIndex.LIVE, ScanIndex.UNSUCCESSFUL, ScanIndex.TAGGED)
}

ACTIVE = Statement("actions_active", "bigint", "SELECT id::text, rate FROM actions WHERE phase IN ('RUNNING', 'UNDOING') ORDER BY id LIMIT $1")

# Who stops it at the same time comes first. No wait for a lock after this one is longer than the limit.
BEGIN = Statement(
    "action_begin",
    "uuid, text",
    """
    SELECT kind, phase, filter::text, priority, place::text, passed::text[], skipped::text, not_undone::text, set_config('lock_timeout', $2, true)
    FROM actions WHERE id = $1 AND phase IN ('RUNNING', 'UNDOING') FOR UPDATE SKIP LOCKED
    """,
)
ADVANCE = Statement(
    "action_advance",
    "uuid, text, uuid, uuid[], bigint, bigint, bigint, bigint, json, json",
    """
    UPDATE actions
    SET changed_at = CASE WHEN phase = $2 THEN changed_at ELSE clock_timestamp() END, phase = $2, place = coalesce($3, place), passed = $4,
        matched = matched + $5, done = done + $6, asked = asked + $7, undone = undone + $8, skipped = $9, not_undone = $10
    WHERE id = $1 RETURNING true
    """,
)
FAIL = Statement(
    "action_fail",
    "uuid, text",
    """
    UPDATE actions SET phase = 'STOPPED', changed_at = clock_timestamp(), error = $2
    WHERE id = $1 AND phase IN ('RUNNING', 'UNDOING') RETURNING true
    """,
)
EXPIRE = Statement(
    "actions_expire",
    "float8, float8, bigint",
    """
    UPDATE actions SET phase = 'EXPIRED', changed_at = clock_timestamp() WHERE id = ANY (ARRAY(
        SELECT id FROM actions
        WHERE phase NOT IN ('RUNNING', 'UNDOING', 'EXPIRED')
          AND changed_at < clock_timestamp() - CASE phase WHEN 'PREVIEW' THEN $1 ELSE $2 END * interval '1 s'
        LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING true
    """,
)
# An action goes once nothing that it did is left, so at the look after the last of that went.
REMOVE = Statement(
    "actions_remove",
    "bigint",
    """
    WITH gone AS (
        DELETE FROM action_jobs WHERE ctid = ANY (ARRAY(
            SELECT j.ctid FROM actions a JOIN action_jobs j ON j.action = a.id WHERE a.phase = 'EXPIRED' LIMIT $1)) RETURNING true),
    empty AS (
        DELETE FROM actions a WHERE phase = 'EXPIRED' AND NOT EXISTS (SELECT FROM action_jobs j WHERE j.action = a.id) RETURNING true)
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM empty)
    """,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What became of a turn."""

    kind: ActionKind
    before: Phase  #: RUNNING or UNDOING
    after: Phase
    changed: StepOutcome

    @property
    def jobs(self) -> int:
        """Jobs that had their turn."""
        return len(self.changed.changed_ids) + len(self.changed.skip_reasons)

    @property
    def has_passed_jobs(self) -> bool:
        """Whether it has come to jobs whose rows others had: the next turn is better not at once."""
        return bool(self.changed.passed_ids)


@dataclass(frozen=True, slots=True)
class _BulkAction:
    id: str
    kind: ActionKind
    phase: Phase
    search: JobSearch
    priority: int
    position: ListPosition | None
    passed: list[str]
    skipped: dict[str, int]
    not_undone: dict[str, int]


def active(connection: WorkerConnection, limit: int) -> list[tuple[str, int]]:
    """Return the actions that have something to do, oldest first, at most so many: id and rate, in jobs a second."""
    return [(row[0], row[1]) for row in connection.run(ACTIVE, (limit,))]


def run_step(connection: WorkerConnection, action_id: str, limits: ScanLimits, lock_timeout_s: float) -> Step | None:
    """Let the next jobs of an action have their turn; None: it has nothing to do, or somebody changes it now. Atomic.

    Raises psycopg2.errors.LockNotAvailable where another one holds a row of `jobs` or a key for longer than `lock_s`.
    """
    with connection.transaction():
        rows = connection.run(BEGIN, (action_id, f"{round(lock_timeout_s * 1000)}ms"))
        if not rows:
            return None
        action = _from_row(action_id, rows[0])
        turn = _act(connection, action, limits) if action.phase is Phase.RUNNING else _undo(connection, action, limits.jobs)
        failpoints.reach("action.before_commit")
    return turn


def fail(connection: WorkerConnection, action_id: str, why: str) -> None:
    """Stop an action, as PostgreSQL refuses what it does."""
    connection.run(FAIL, (action_id, why))


def expire(connection: WorkerConnection, preview_s: float, keep_s: float) -> int:
    """Expire previews that nobody started for so long and actions that nothing happened to, and remove some of what has expired; returns how many rows.

    Safe to repeat: call it until it returns 0.
    """
    connection.run(EXPIRE, (preview_s, keep_s, MAX_EXPIRED))
    return int(connection.run(REMOVE, (MAX_DELETED,))[0][0])


def _from_row(action_id: str, row: Row) -> _BulkAction:
    kind, phase, filters, priority, place, passed, skipped, not_undone, _ = row
    at, search = None if place is None else ListPosition(UUID(place)), JobSearch.from_json(filters)
    return _BulkAction(action_id, ActionKind(kind), Phase(phase), search, priority or 0, at, passed, json.loads(skipped), json.loads(not_undone))


def _act(connection: WorkerConnection, action: _BulkAction, limits: ScanLimits) -> Step:
    ids, place, ended = action.passed[: limits.jobs], None, False
    if len(ids) < limits.jobs:
        found, place, ended = _next_matches(connection, action, replace(limits, jobs=limits.jobs - len(ids)))
        ids = ids + found
    changed = _change(connection, action, ids)
    changed.passed_ids += action.passed[limits.jobs :]
    after = FINAL_PHASES[action.phase] if ended and not changed.passed_ids else action.phase
    _advance(connection, action, after, place, changed)
    return Step(action.kind, action.phase, after, changed)


def _next_matches(connection: WorkerConnection, action: _BulkAction, limits: ScanLimits) -> tuple[list[str], UUID | None, bool]:
    """Return the next jobs that match, up to where that has come, and whether there are no more."""
    search = action.search
    arguments = [str(one) if isinstance(one, UUID) else one for one in index_scan.scan_arguments(search, action.position, limits)]
    rows = [{"n": n, "id": UUID(job_id), "at": None, "status": status} for n, job_id, status in connection.run(SCANS[search.index], arguments)]
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
    had = changes.changed_jobs(connection, action.id, limit)
    match action.kind:
        case ActionKind.CANCEL:
            changed = changes.undo_cancel(connection, action.id, had)
        case ActionKind.RETRY:
            changed = changes.undo_retry(connection, action.id, had)
        case ActionKind.REPRIORITISE:
            changed = changes.undo_reprioritise(connection, action.id, had, action.priority)
    changes.delete_records(connection, action.id, [one for one in had if one.id not in changed.passed_ids])
    after = action.phase if len(had) == limit or changed.passed_ids else FINAL_PHASES[action.phase]
    _advance(connection, action, after, None, changed)
    return Step(action.kind, action.phase, after, changed)


def _advance(connection: WorkerConnection, action: _BulkAction, after: Phase, place: UUID | None, changed: StepOutcome) -> None:
    """Write down how far an action is."""
    skipped, not_undone, passed, counts = action.skipped, action.not_undone, action.passed, (0, 0, 0, len(changed.changed_ids))
    if action.phase is Phase.RUNNING:
        skipped, passed = add_reasons(skipped, changed.skip_reasons), changed.passed_ids
        counts = len(changed.changed_ids) + len(changed.skip_reasons), len(changed.changed_ids), changed.asked_to_stop, 0
    else:
        not_undone = add_reasons(not_undone, changed.skip_reasons)
    where = None if place is None else str(place)
    connection.run(ADVANCE, (action.id, after, where, array_literal(passed), *counts, json.dumps(skipped), json.dumps(not_undone)))
