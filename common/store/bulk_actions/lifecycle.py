"""Bulk actions as clients see them: preview, read, start, stop, undo. The changes of jobs are in steps.py."""

import math
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy import Connection

from common.domain.bulk_actions import (
    PLAIN_START,
    ActionKind,
    ActionRequest,
    Phase,
    StartRequest,
    check_confirmation,
    is_on_all_jobs,
    next_phase,
)
from common.domain.errors import BulkActionNotFound, TooManyPreviews
from common.domain.job_search import JobSearch, ListPosition, ScanIndex
from common.domain.tenancy.audit import AuditEntry
from common.store.bulk_actions import previews
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing import estimates, index_scan
from common.store.listing.index_scan import Record, ScanLimits
from common.store.tenancy import audit
from common.store.tenancy.only_tenant import is_indexed

_COLUMNS = """id, kind, phase, filter::text, priority, jobs_per_second, as_of, created_at, started_at, changed_at,
    count, count_is_exact, sample::text, matched, done, cancels_requested, skipped::text, undone,
    not_undone::text, error, first, preview::text, created_by, started_by"""
# A repeat after a lost answer returns what was stored.
_INSERT = f"""
INSERT INTO bulk_actions (
    id, kind, filter, priority, jobs_per_second, as_of, count, count_is_exact, sample, tenant, skipped, not_undone,
    preview, created_by)
VALUES ($1, $2, $3::text::json, $4, $5, $6, $7, $8, $9::text::json, $10, '{{}}', '{{}}', $11::text::json, $12)
ON CONFLICT (id) DO UPDATE SET error = bulk_actions.error
RETURNING {_COLUMNS}
"""
_READ = f"SELECT {_COLUMNS} FROM bulk_actions WHERE id = $1 AND tenant = $2"
_PAGE = f"SELECT {_COLUMNS} FROM bulk_actions WHERE tenant = $3 AND id < $1 ORDER BY id DESC LIMIT $2"
_LOCK = (
    "SELECT phase, kind, filter::text, count, done, first FROM bulk_actions WHERE id = $1 AND tenant = $2 FOR UPDATE"
)
# Where previews are at their limit, the oldest give way to the new one, if they are old enough. A preview that is being
# started does not. Previews at the same time may exceed the limit.
_MAKE_ROOM = """
WITH previews AS (
    SELECT count(*) AS number, min(created_at) AS oldest FROM bulk_actions WHERE tenant = $3 AND phase = 'PREVIEW'),
expired AS (
    UPDATE bulk_actions SET phase = 'EXPIRED', changed_at = clock_timestamp() WHERE id = ANY (ARRAY(
        SELECT id FROM bulk_actions
        WHERE tenant = $3 AND phase = 'PREVIEW' AND created_at <= clock_timestamp() - $2::float8 * interval '1 s'
        ORDER BY created_at LIMIT greatest(0, (SELECT number FROM previews) - $1::bigint + 1)
        FOR UPDATE SKIP LOCKED)) RETURNING true)
SELECT number - (SELECT count(*) FROM expired) < $1,
       $2 - extract(epoch FROM clock_timestamp() - oldest)::float8
FROM previews
"""
_CHANGE = """
UPDATE bulk_actions
SET phase = $2, changed_at = CASE phase WHEN $2 THEN changed_at ELSE clock_timestamp() END, error = NULL, first = $4,
    started_at = CASE $2 WHEN 'RUNNING' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
    started_by = CASE WHEN $2 = 'RUNNING' AND started_at IS NULL THEN $5 ELSE started_by END
WHERE id = $1 AND tenant = $3
"""
_TABLES = {
    ScanIndex.JOBS: "jobs",
    ScanIndex.LIVE: "live",
    ScanIndex.UNSUCCESSFUL: "outcomes",
    ScanIndex.TAGGED: "tags",
}
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class NewBulkAction:
    """A client's request for a bulk action."""

    id: UUID
    kind: ActionKind
    search: JobSearch
    priority: int | None  #: new priority of the jobs; None: not a REPRIORITISE
    jobs_per_second: int  #: highest rate
    created_by: str | None = None  #: the subject of the client; None: callers are not authenticated


@dataclass(frozen=True, slots=True)
class PreviewLimits:
    """The limits of previews."""

    scanned: int  #: rows that one preview scans
    skew_s: float  #: see `JobSearch.id_range`
    previews: int  #: of a tenant that may wait for their start
    protected_s: float  #: time for which a preview gives way to no other


def preview(connection: Connection, tenant: int, new: NewBulkAction, limits: PreviewLimits) -> Record:
    """Count a tenant's jobs that match an action now, store the action, and return it.

    Needs a transaction; safe to repeat.

    Beyond the limit of scanned rows the count is an estimate: the share of matches among the scanned rows, times the
    planner's estimate of all rows. Raises TooManyPreviews before it scans.
    """
    has_room, wait_s = connection.exec_driver_sql(_MAKE_ROOM, (limits.previews, limits.protected_s, tenant)).one()
    if not has_room:
        raise TooManyPreviews(limits.previews, max(1, math.ceil(wait_s)))
    connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
    search = replace(
        new.search, as_of=connection.exec_driver_sql("SELECT clock_timestamp()").scalar_one(), descending=False
    )
    scan_limits = ScanLimits(limits.scanned, limits.scanned, limits.skew_s)
    found = previews.scan(connection, tenant, search, new.kind, new.priority, scan_limits)
    count = found.count
    if not found.is_complete:
        rows = _estimated_scan_rows(connection, tenant, search, scan_limits)
        count = max(count, round(count / found.scanned * rows))
    values = (new.id, new.kind, search.to_json(), new.priority, new.jobs_per_second, search.as_of, count)
    shown = (found.is_complete, found.sample, tenant, found.details, new.created_by)
    return dict(connection.exec_driver_sql(_INSERT, (*values, *shown)).mappings().one())


def read(connection: Connection, tenant: int, bulk_action_id: UUID) -> Record:
    """Return an action of a tenant, with its columns of type json as text. Raises BulkActionNotFound."""
    row = connection.exec_driver_sql(_READ, (bulk_action_id, tenant)).mappings().one_or_none()
    if row is None:
        raise BulkActionNotFound
    return dict(row)


def page(
    connection: Connection, tenant: int, after: ListPosition | None, limit: int
) -> tuple[list[Record], ListPosition | None]:
    """Return a page of a tenant's actions, newest first, and the position behind which the next page begins.

    No position: this is the last page. `after` is the position of the page before; None: the first page.
    """
    before = _LAST if after is None else after.job_id
    rows = connection.exec_driver_sql(_PAGE, (before, limit + 1, tenant)).mappings()
    actions = [dict(row) for row in rows]
    return actions[:limit], ListPosition(actions[limit - 1]["id"]) if len(actions) > limit else None


def request(
    connection: Connection,
    tenant: int,
    bulk_action_id: UUID,
    verb: ActionRequest,
    entry: AuditEntry,
    start: StartRequest = PLAIN_START,
) -> tuple[Record, bool]:
    """Start, stop or undo a tenant's action. Return it, and True if its phase, or the limit of its start, changed.

    Stores the audit entry if so. `start`: what a start asks for. Waits for a step in progress. Needs a transaction;
    safe to repeat. Raises BulkActionNotFound, WrongPhase or CountNotConfirmed.
    """
    locked = connection.exec_driver_sql(_LOCK, (bulk_action_id, tenant)).one_or_none()
    if locked is None:
        raise BulkActionNotFound
    before, kind, filters, preview_count, done, first = locked
    after = next_phase(Phase(before), verb)
    new_first = first if verb is ActionRequest.STOP else start.first
    if verb is ActionRequest.START:
        if new_first is not None and done >= new_first:
            after = Phase.STOPPED
        is_on_all = is_on_all_jobs(ActionKind(kind), JobSearch.from_json(filters))
        check_confirmation(Phase(before), is_on_all=is_on_all, preview_count=preview_count, count=start.count)
    has_changed = after != before or new_first != first
    if has_changed:
        connection.exec_driver_sql(_CHANGE, (bulk_action_id, after, tenant, new_first, start.subject))
        audit.record_sync(connection, entry)
    return read(connection, tenant, bulk_action_id), has_changed


def _estimated_scan_rows(connection: Connection, tenant: int, search: JobSearch, limits: ScanLimits) -> int:
    """Return the planner's estimate of all rows that the scan would read."""
    arguments = index_scan.scan_arguments(tenant, search, None, limits)
    indexed = is_indexed(tenant)
    scan = index_scan.scan(search.index, descending=False, indexed=indexed).replace("$13", "$3").replace("$6", "$4")
    ids, tag = tuple(arguments[:2]), [] if search.tag is None else [search.tag]
    rows = int(estimates.query_plan(connection, scan, (*ids, arguments[12], *tag))["Plan Rows"])
    guesses = estimates.policy_guesses(connection, _TABLES[search.index], ids)
    return round(rows * len(guesses) / sum(guesses.values())) if guesses else rows
