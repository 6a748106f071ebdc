"""Index scans with a row budget: lists, previews and bulk actions read jobs by one index, from a known position."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.domain.job_search import JobSearch, ListPosition, Order, ScanIndex
from common.store.listing import contents
from common.store.listing.error_texts import GROUP_ID, NORMALISED
from common.store.tenancy.only_tenant import INDEXED

Record = dict[str, Any]

# $1 and $2 are the lowest and the highest id that can match, $13 is the tenant. A manually retried job has an outcome
# for each run. {indexed}: the condition of the indexes by tenant, which have no row of the default tenant; its lists
# read the primary keys, and where it has the fewest jobs of all tenants their pages are short.
SCANS = {
    ScanIndex.JOBS: """SELECT id, NULL::timestamptz AS at FROM jobs
        WHERE tenant = $13{indexed} AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    ScanIndex.LIVE: """SELECT id, NULL::timestamptz AS at FROM live
        WHERE {live_tenant} = $13::int{indexed} AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    ScanIndex.UNSUCCESSFUL: """SELECT DISTINCT ON (id) id, NULL::timestamptz AS at FROM outcomes
        WHERE tenant = $13 AND status <> 'SUCCESS' AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    ScanIndex.TAGGED: """SELECT id, NULL::timestamptz AS at FROM tags
        WHERE tenant = $13 AND tag = $6 AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    ScanIndex.FINISHED: """SELECT id, finished_at AS at FROM outcomes
        WHERE tenant = $13 AND status <> 'SUCCESS' AND finished_at >= $7 AND finished_at < $8
          AND (finished_at, id) {beyond} ($17, $18) AND id BETWEEN $1 AND $2
        ORDER BY finished_at {to}, id {to}""",
}
_TAGGED = "($6::text IS NULL OR (SELECT $6 = ANY (j.tags) FROM jobs j WHERE j.id = w.id))"
_GROUP_ID = GROUP_ID.format(
    operation="s.operation", type="s.error_type", normalised=NORMALISED.format(text="s.error_text")
)

# `walked` yields a row when `page` asks for one, so a full page ends the scan.
_PAGE = """
WITH walked AS (
    SELECT row_number() OVER () AS n, id, at FROM ({scan} LIMIT $10) w),
page AS MATERIALIZED (
    SELECT w.n, w.at, s.*
    FROM walked w
    CROSS JOIN LATERAL (
        SELECT v.id, v.status, v.operation, v.queue, v.priority, v.created_at, v.due_at, v.started_at, v.finished_at,
               v.attempt, v.max_attempts, v.run, v.error_type, v.error_text
        FROM job_states v WHERE v.id = w.id AND v.tenant = $13 OFFSET 0) s
    WHERE ($3::text[] IS NULL OR s.status = ANY ($3)) AND ($4::text IS NULL OR s.operation = $4)
      AND ($5::text IS NULL OR s.queue = $5)
      AND ($7::timestamptz IS NULL OR s.finished_at >= $7) AND ($8::timestamptz IS NULL OR s.finished_at < $8)
      AND (w.at IS NULL OR w.at = s.finished_at)
      AND ($9::text IS NULL OR strpos(lower(s.error_type || ' ' || s.error_text), lower($9)) > 0)
      AND ($12::timestamptz IS NULL OR s.created_at <= $12)
      AND ($14::text IS NULL OR right(w.id::text, length($14)) = $14)
      AND ($15::text IS NULL OR s.error_type IS NOT NULL AND {group_id} = $15)
      AND ($16::text IS NULL OR {contents})
      AND {tagged}
    LIMIT $11)
"""


def scan(index: ScanIndex, *, descending: bool, indexed: bool) -> str:
    """Return the scan of an index for a tenant that is in the indexes by tenant, or for the default tenant."""
    return SCANS[index].format(
        to="DESC" if descending else "ASC",
        beyond="<" if descending else ">",
        indexed=INDEXED if indexed else "",
        live_tenant="tenant::bigint" if indexed else "tenant",
    )


#: Begins of statements that read `page`, the at most $11 matching jobs, and `walked`, the at most $10 scanned rows. By
#: index, descending, and `is_indexed` of the tenant.
PAGE_STATEMENTS = {
    (index, descending, indexed): _PAGE.format(
        scan=scan(index, descending=descending, indexed=indexed),
        tagged="true" if index is ScanIndex.TAGGED else _TAGGED,
        group_id=_GROUP_ID,
        contents=contents.matches("$16"),
    )
    for index in SCANS
    for descending in (False, True)
    for indexed in (False, True)
}
#: The last scanned row, where the next page begins; no row if the page is full.
LAST_SCANNED = "FROM (SELECT * FROM walked ORDER BY n DESC LIMIT 1) l WHERE (SELECT count(*) FROM page) < $11"
#: Types of the arguments of PAGE_STATEMENTS; by the time of the end there are two more.
TYPES = (
    "uuid, uuid, text[], text, text, text, timestamptz, timestamptz, text, bigint, bigint, timestamptz, int, "
    "text, text, text"
)
TYPES_BY_FINISH = f"{TYPES}, timestamptz, uuid"

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """The limits of one index scan."""

    jobs: int  #: matching jobs
    scanned: int  #: scanned rows
    skew_s: float  #: largest difference in seconds between the clocks of API processes and the database


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of a list, in its order."""

    jobs: list[Record]
    scanned: int  #: rows that were scanned for it
    next: ListPosition | None  #: the next page begins behind it; None: this is the last page
    estimated_total: int | None = None  #: jobs of the whole list; None: no estimate


def page_of_rows(rows: list[Record], limits: ScanLimits) -> JobPage:
    """Return the page in a statement's rows: those of `page`, then the row of LAST_SCANNED, which has no status."""
    last_scanned = rows.pop() if rows and rows[-1]["status"] is None else None
    jobs, after = rows[: limits.jobs], None
    if len(rows) > limits.jobs:
        after = ListPosition(jobs[-1]["id"], jobs[-1]["at"])
    elif last_scanned is not None and last_scanned["n"] == limits.scanned:
        after = ListPosition(last_scanned["id"], last_scanned["at"])
    last = last_scanned or (rows[-1] if rows else None)
    return JobPage(jobs, 0 if last is None else last["n"], after)


def scan_arguments(
    tenant: int, search: JobSearch, after: ListPosition | None, limits: ScanLimits
) -> tuple[object, ...]:
    """Return the arguments of PAGE_STATEMENTS for a tenant's page behind a position; None: the first page.

    They ask for one job more than the page holds, which shows if there is a next page.
    """
    first, last = search.id_range(limits.skew_s)
    by_finish = search.order is Order.FINISHED
    if after is not None and not by_finish:
        first, last = after.ids_beyond(first, last, descending=search.descending)
    arguments = (
        first,
        last,
        [str(status) for status in search.statuses] or None,
        search.operation,
        search.queue,
        search.tag,
        search.finished_after or (_EARLIEST if by_finish else None),
        search.finished_before or (_LATEST if by_finish else None),
        search.error,
        limits.scanned,
        limits.jobs + 1,
        search.as_of,
        tenant,
        search.id_suffix,
        search.error_group,
        contents.conditions(search.input, search.metadata),
    )
    if not by_finish:
        return arguments
    start = after or (ListPosition(last, _LATEST) if search.descending else ListPosition(first, _EARLIEST))
    return (*arguments, start.finished_at, start.job_id)
