"""Actions as clients see them: previewed, looked at, started, stopped, undone. What they do to jobs is in turns.py."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection

from common.domain.bulk_actions import ActionKind, Phase, Verb, next_phase
from common.domain.errors import ActionNotFound
from common.domain.job_search import JobSearch, ListPosition
from common.store.listing import estimates, index_scan
from common.store.listing.index_scan import PAGE_STATEMENTS, SCANS, Record, ScanLimits
from common.store.listing.job_list import BY_INDEX

SAMPLE = 10  # jobs shown with a preview

_COUNT = f"""
SELECT (SELECT count(*) FROM page), (SELECT coalesce(max(n), 0) FROM walked),
       (SELECT coalesce(json_agg(s), '[]') FROM (SELECT id AS job_id, status, operation FROM page LIMIT {SAMPLE}) s)::text
"""
_COLUMNS = """id, kind, phase, filter::text, priority, rate, as_of, created_at, started_at, changed_at, count, exact, sample::text, matched, done, asked,
    skipped::text, undone, not_undone::text, error"""
_TEXTS = ("sample", "skipped", "not_undone")
_INSERT = f"""
INSERT INTO actions (id, kind, filter, priority, rate, as_of, count, exact, sample, skipped, not_undone)
VALUES ($1, $2, $3::text::json, $4, $5, $6, $7, $8, $9::text::json, '{{}}', '{{}}')
RETURNING {_COLUMNS}
"""
_READ = f"SELECT {_COLUMNS} FROM actions WHERE id = $1"
_PAGE = f"SELECT {_COLUMNS} FROM actions WHERE id < $1 ORDER BY id DESC LIMIT $2"
_LOCK = "SELECT phase FROM actions WHERE id = $1 FOR UPDATE"
_CHANGE = """
UPDATE actions
SET phase = $2, changed_at = clock_timestamp(), error = NULL,
    started_at = CASE $2 WHEN 'RUNNING' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END
WHERE id = $1
"""
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class NewBulkAction:
    """An action that a client asks for."""

    id: UUID
    kind: ActionKind
    search: JobSearch
    priority: int | None  #: that jobs get; None: it is no reprioritise
    rate: int  #: most jobs in a second


def preview(connection: Connection, new: NewBulkAction, scan_limit: int, skew_s: float) -> Record:
    """Count the jobs that an action would find now, look at `most` rows for it, and store it; returns it. In a transaction of the caller.

    Beyond `most` rows the count is an estimate: of what is to be walked, by the database's statistics, the share that matched so far.
    """
    connection.exec_driver_sql(BY_INDEX)
    search = replace(new.search, as_of=connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one(), descending=False)
    arguments = index_scan.scan_arguments(search, None, ScanLimits(scan_limit, scan_limit, skew_s))
    found, walked, sample = connection.exec_driver_sql(PAGE_STATEMENTS[search.index, False] + _COUNT, arguments).one()
    exact = walked < scan_limit
    count = found if exact else max(found, round(found / walked * _estimated_scan_rows(connection, search, arguments)))
    values = (new.id, new.kind, search.to_json(), new.priority, new.rate, search.as_of, count, exact, sample)
    return _record(connection.exec_driver_sql(_INSERT, values).mappings().one())


def read(connection: Connection, action_id: UUID) -> Record:
    """Return an action. Raises ActionNotFound."""
    found = connection.exec_driver_sql(_READ, (action_id,)).mappings().one_or_none()
    if found is None:
        raise ActionNotFound
    return _record(found)


def page(connection: Connection, after: ListPosition | None, limit: int) -> tuple[list[Record], ListPosition | None]:
    """Return actions, newest first, those after a place, None: from the newest on; and where the next page begins, None: this is the last one."""
    rows = connection.exec_driver_sql(_PAGE, (_LAST if after is None else after.job_id, limit + 1)).mappings()
    found = [_record(row) for row in rows]
    return found[:limit], ListPosition(found[limit - 1]["id"]) if len(found) > limit else None


def request(connection: Connection, action_id: UUID, verb: Verb) -> tuple[Record, bool]:
    """Start, stop or undo an action; returns it, and whether that changed it. In a transaction of the caller; safe to repeat.

    Waits for a turn that is under way. Raises ActionNotFound, or WrongPhase.
    """
    before = connection.exec_driver_sql(_LOCK, (action_id,)).scalar_one_or_none()
    if before is None:
        raise ActionNotFound
    after = next_phase(Phase(before), verb)
    if after != before:
        connection.exec_driver_sql(_CHANGE, (action_id, after))
    return read(connection, action_id), after != before


def _estimated_scan_rows(connection: Connection, search: JobSearch, arguments: Sequence[object]) -> int:
    """Return how many rows there are to walk, as far as the planner knows."""
    walk = SCANS[search.index].format(to="ASC").replace("$6", "$3")
    return int(estimates.query_plan(connection, walk, (*arguments[:2], *([] if search.tag is None else [search.tag])))["Plan Rows"])


def _record(row: object) -> Record:
    found: Record = dict(row)  # type: ignore[call-overload]  # a mapping of the driver's
    return found | {name: json.loads(found[name]) for name in _TEXTS}
