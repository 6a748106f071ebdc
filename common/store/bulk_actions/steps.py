"""The turns of actions: each looks at the next jobs, changes them and writes down how far it is, in one transaction.

So a controller that dies, or a commit whose answer is lost, neither leaves a job out nor comes to it twice.
"""

import json
from dataclasses import dataclass, replace
from uuid import UUID

from common import failpoints
from common.domain.bulk_actions import ENDS, Kind, Phase, add
from common.domain.job_search import Place, Search, Way
from common.store.bulk_actions import changes
from common.store.bulk_actions.changes import Changed
from common.store.connection.psycopg2_session import Hot
from common.store.connection.statement import Row, Statement, array
from common.store.listing import index_scan
from common.store.listing.index_scan import END, PAGES, TYPES, Bounds

MOST_EXPIRED = 1_000  # actions, at one look
MOST_FORGOTTEN = 10_000  # of what they did, in one transaction

# Which indexes the walks of actions go by: none is by the time of an end, and all go from the oldest job on.
_FOUND = f"SELECT p.n, p.id::text, p.status FROM page p UNION ALL SELECT l.n, l.id::text, NULL {END}"
WALKS = {way: Statement(f"action_walk_{way}", TYPES, PAGES[way, False] + _FOUND) for way in (Way.LIVE, Way.UNSUCCESSFUL, Way.TAGGED)}

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
class Turn:
    """What became of a turn."""

    kind: Kind
    before: Phase  #: RUNNING or UNDOING
    after: Phase
    changed: Changed

    @property
    def jobs(self) -> int:
        """Jobs that had their turn."""
        return len(self.changed.ids) + len(self.changed.reasons)

    @property
    def waits(self) -> bool:
        """Whether it has come to jobs whose rows others had: the next turn is better not at once."""
        return bool(self.changed.passed)


@dataclass(frozen=True, slots=True)
class _Action:
    id: str
    kind: Kind
    phase: Phase
    search: Search
    priority: int
    place: Place | None
    passed: list[str]
    skipped: dict[str, int]
    not_undone: dict[str, int]


def active(hot: Hot, most: int) -> list[tuple[str, int]]:
    """Return the actions that have something to do, oldest first, at most so many: id and rate, in jobs a second."""
    return [(row[0], row[1]) for row in hot.run(ACTIVE, (most,))]


def take(hot: Hot, action_id: str, bounds: Bounds, lock_s: float) -> Turn | None:
    """Let the next jobs of an action have their turn; None: it has nothing to do, or somebody changes it now. Atomic.

    Raises psycopg2.errors.LockNotAvailable where another one holds a row of `jobs` or a key for longer than `lock_s`.
    """
    with hot.transaction():
        rows = hot.run(BEGIN, (action_id, f"{round(lock_s * 1000)}ms"))
        if not rows:
            return None
        action = _of(action_id, rows[0])
        turn = _go_on(hot, action, bounds) if action.phase is Phase.RUNNING else _undo(hot, action, bounds.jobs)
        failpoints.reach("action.before_commit")
    return turn


def fail(hot: Hot, action_id: str, why: str) -> None:
    """Stop an action, as PostgreSQL refuses what it does."""
    hot.run(FAIL, (action_id, why))


def expire(hot: Hot, preview_s: float, keep_s: float) -> int:
    """Expire previews that nobody started for so long and actions that nothing happened to, and remove some of what has expired; returns how many rows.

    Safe to repeat: call it until it returns 0.
    """
    hot.run(EXPIRE, (preview_s, keep_s, MOST_EXPIRED))
    return int(hot.run(REMOVE, (MOST_FORGOTTEN,))[0][0])


def _of(action_id: str, row: Row) -> _Action:
    kind, phase, filters, priority, place, passed, skipped, not_undone, _ = row
    at, search = None if place is None else Place(UUID(place)), Search.of_text(filters)
    return _Action(action_id, Kind(kind), Phase(phase), search, priority or 0, at, passed, json.loads(skipped), json.loads(not_undone))


def _go_on(hot: Hot, action: _Action, bounds: Bounds) -> Turn:
    ids, place, ended = action.passed[: bounds.jobs], None, False
    if len(ids) < bounds.jobs:
        found, place, ended = _walk(hot, action, replace(bounds, jobs=bounds.jobs - len(ids)))
        ids = ids + found
    changed = _change(hot, action, ids)
    changed.passed += action.passed[bounds.jobs :]
    after = ENDS[action.phase] if ended and not changed.passed else action.phase
    _advance(hot, action, after, place, changed)
    return Turn(action.kind, action.phase, after, changed)


def _walk(hot: Hot, action: _Action, bounds: Bounds) -> tuple[list[str], UUID | None, bool]:
    """Return the next jobs that match, up to where that has come, and whether there are no more."""
    search = action.search
    arguments = [str(one) if isinstance(one, UUID) else one for one in index_scan.arguments(search, action.place, bounds)]
    rows = [{"n": n, "id": UUID(job_id), "at": None, "status": status} for n, job_id, status in hot.run(WALKS[search.way], arguments)]
    last = rows[-1]["id"] if rows else None
    page = index_scan.page(rows, bounds)
    return [str(job["id"]) for job in page.jobs], page.next.job_id if page.next else last, page.next is None


def _change(hot: Hot, action: _Action, ids: list[str]) -> Changed:
    statuses = action.search.statuses
    match action.kind:
        case Kind.CANCEL:
            return changes.cancel(hot, action.id, ids, statuses)
        case Kind.RETRY:
            return changes.rerun(hot, action.id, ids, statuses)
        case Kind.REPRIORITISE:
            return changes.reprioritise(hot, action.id, ids, action.priority)


def _undo(hot: Hot, action: _Action, most: int) -> Turn:
    had = changes.records(hot, action.id, most)
    match action.kind:
        case Kind.CANCEL:
            changed = changes.put_back(hot, action.id, had)
        case Kind.RETRY:
            changed = changes.take_back(hot, action.id, had)
        case Kind.REPRIORITISE:
            changed = changes.restore(hot, action.id, had, action.priority)
    changes.forget(hot, action.id, [one for one in had if one.id not in changed.passed])
    after = action.phase if len(had) == most or changed.passed else ENDS[action.phase]
    _advance(hot, action, after, None, changed)
    return Turn(action.kind, action.phase, after, changed)


def _advance(hot: Hot, action: _Action, after: Phase, place: UUID | None, changed: Changed) -> None:
    """Write down how far an action is."""
    skipped, not_undone, passed, counts = action.skipped, action.not_undone, action.passed, (0, 0, 0, len(changed.ids))
    if action.phase is Phase.RUNNING:
        skipped, passed = add(skipped, changed.reasons), changed.passed
        counts = len(changed.ids) + len(changed.reasons), len(changed.ids), changed.asked, 0
    else:
        not_undone = add(not_undone, changed.reasons)
    where = None if place is None else str(place)
    hot.run(ADVANCE, (action.id, after, where, array(passed), *counts, json.dumps(skipped), json.dumps(not_undone)))
