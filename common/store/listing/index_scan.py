"""Walks among the jobs by one index, from a known place, within a budget of rows: what lists, previews and actions read them with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.domain.job_search import JobSearch, ListPosition, Order, ScanIndex

Record = dict[str, Any]

# Between the first and the last id that may be found. A job that was retried by hand has an outcome of each epoch.
SCANS = {
    ScanIndex.JOBS: "SELECT id, NULL::timestamptz AS at FROM jobs WHERE id BETWEEN $1 AND $2 ORDER BY id {to}",
    ScanIndex.LIVE: "SELECT id, NULL::timestamptz AS at FROM live WHERE id BETWEEN $1 AND $2 ORDER BY id {to}",
    ScanIndex.UNSUCCESSFUL: """SELECT DISTINCT ON (id) id, NULL::timestamptz AS at FROM outcomes
        WHERE status <> 'SUCCESS' AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    ScanIndex.TAGGED: "SELECT id, NULL::timestamptz AS at FROM tags WHERE tag = $6 AND id BETWEEN $1 AND $2 ORDER BY id {to}",
    ScanIndex.FINISHED: """SELECT id, finished_at AS at FROM outcomes
        WHERE status <> 'SUCCESS' AND finished_at >= $7 AND finished_at < $8 AND (finished_at, id) {beyond} ($13, $14) AND id BETWEEN $1 AND $2
        ORDER BY finished_at {to}, id {to}""",
}
_TAGGED = "($6::text IS NULL OR (SELECT $6 = ANY (j.tags) FROM jobs j WHERE j.id = w.id))"

# `walked` gives a row when `page` asks for one, so a page that is full ends the walk.
_PAGE = """
WITH walked AS (
    SELECT row_number() OVER () AS n, id, at FROM ({walk} LIMIT $10) w),
page AS MATERIALIZED (
    SELECT w.n, w.at, s.*
    FROM walked w
    CROSS JOIN LATERAL (
        SELECT v.id, v.status, v.operation, v.queue, v.priority, v.created_at, v.due_at, v.started_at, v.finished_at, v.attempt, v.max_attempts, v.epoch,
               v.error_type, v.error_text
        FROM job_states v WHERE v.id = w.id OFFSET 0) s
    WHERE ($3::text[] IS NULL OR s.status = ANY ($3)) AND ($4::text IS NULL OR s.operation = $4) AND ($5::text IS NULL OR s.queue = $5)
      AND ($7::timestamptz IS NULL OR s.finished_at >= $7) AND ($8::timestamptz IS NULL OR s.finished_at < $8) AND (w.at IS NULL OR w.at = s.finished_at)
      AND ($9::text IS NULL OR strpos(lower(s.error_type || ' ' || s.error_text), lower($9)) > 0)
      AND ($12::timestamptz IS NULL OR s.created_at <= $12)
      AND {tagged}
    LIMIT $11)
"""
#: What a statement begins with that reads `page`: the jobs that fit, at most $11 of them; and `walked`: what was looked at, at most $10 rows.
PAGE_STATEMENTS = {
    (way, descending): _PAGE.format(
        walk=walk.format(to="DESC" if descending else "ASC", beyond="<" if descending else ">"), tagged="true" if way is ScanIndex.TAGGED else _TAGGED
    )
    for way, walk in SCANS.items()
    for descending in (False, True)
}
#: The last row of a walk that went on to its end, so where it may go on; it gives no row where the page is full.
LAST_SCANNED = "FROM (SELECT * FROM walked ORDER BY n DESC LIMIT 1) l WHERE (SELECT count(*) FROM page) < $11"
#: Of the arguments of PAGES; in the order of ends there are two more.
TYPES = "uuid, uuid, text[], text, text, text, timestamptz, timestamptz, text, bigint, bigint, timestamptz"
TYPES_BY_FINISH = f"{TYPES}, timestamptz, uuid"

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How far a walk may go."""

    jobs: int  #: that fit
    scanned: int  #: that are looked at
    skew_s: float  #: between the clocks of the API's processes and the database's


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some jobs of a list, in its order."""

    jobs: list[Record]
    scanned: int  #: rows that were walked for it
    next: ListPosition | None  #: the next page begins beyond it; None: this was the last one
    estimated_total: int | None = None  #: jobs of the whole list; None: nothing cheap knows


def page_of_rows(rows: list[Record], limits: ScanLimits) -> JobPage:
    """Return the page that the rows of a statement are: those of `page` in their order, then that of END, which has no status."""
    walk = rows.pop() if rows and rows[-1]["status"] is None else None
    jobs, after = rows[: limits.jobs], None
    if len(rows) > limits.jobs:
        after = ListPosition(jobs[-1]["id"], jobs[-1]["at"])
    elif walk is not None and walk["n"] == limits.scanned:
        after = ListPosition(walk["id"], walk["at"])
    last = walk or (rows[-1] if rows else None)
    return JobPage(jobs, 0 if last is None else last["n"], after)


def scan_arguments(search: JobSearch, after: ListPosition | None, limits: ScanLimits) -> tuple[object, ...]:
    """Return the arguments of PAGES for the page that begins beyond a place, None: the first one; one job more than it takes shows whether it is full."""
    first, last = search.id_range(limits.skew_s)
    by_end = search.order is Order.FINISHED
    if after is not None and not by_end:
        first, last = after.ids_beyond(first, last, descending=search.descending)
    found = (
        first,
        last,
        [str(status) for status in search.statuses] or None,
        search.operation,
        search.queue,
        search.tag,
        search.finished_after or (_EARLIEST if by_end else None),
        search.finished_before or (_LATEST if by_end else None),
        search.error,
        limits.scanned,
        limits.jobs + 1,
        search.as_of,
    )
    if not by_end:
        return found
    start = after or (ListPosition(last, _LATEST) if search.descending else ListPosition(first, _EARLIEST))
    return (*found, start.finished_at, start.job_id)
