"""Walks among the jobs by one index, from a known place, within a budget of rows: what lists, previews and actions read them with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.domain.job_search import Order, Place, Search, Way

Record = dict[str, Any]

# Between the first and the last id that may be found. A job that was retried by hand has an outcome of each epoch.
WALKS = {
    Way.JOBS: "SELECT id, NULL::timestamptz AS at FROM jobs WHERE id BETWEEN $1 AND $2 ORDER BY id {to}",
    Way.LIVE: "SELECT id, NULL::timestamptz AS at FROM live WHERE id BETWEEN $1 AND $2 ORDER BY id {to}",
    Way.UNSUCCESSFUL: """SELECT DISTINCT ON (id) id, NULL::timestamptz AS at FROM outcomes
        WHERE status <> 'SUCCESS' AND id BETWEEN $1 AND $2 ORDER BY id {to}""",
    Way.TAGGED: "SELECT id, NULL::timestamptz AS at FROM tags WHERE tag = $6 AND id BETWEEN $1 AND $2 ORDER BY id {to}",
    Way.FINISHED: """SELECT id, finished_at AS at FROM outcomes
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
PAGES = {
    (way, descending): _PAGE.format(
        walk=walk.format(to="DESC" if descending else "ASC", beyond="<" if descending else ">"), tagged="true" if way is Way.TAGGED else _TAGGED
    )
    for way, walk in WALKS.items()
    for descending in (False, True)
}
#: The last row of a walk that went on to its end, so where it may go on; it gives no row where the page is full.
END = "FROM (SELECT * FROM walked ORDER BY n DESC LIMIT 1) l WHERE (SELECT count(*) FROM page) < $11"
#: Of the arguments of PAGES; in the order of ends there are two more.
TYPES = "uuid, uuid, text[], text, text, text, timestamptz, timestamptz, text, bigint, bigint, timestamptz"
TYPES_BY_END = f"{TYPES}, timestamptz, uuid"

_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk may go."""

    jobs: int  #: that fit
    scanned: int  #: that are looked at
    skew_s: float  #: between the clocks of the API's processes and the database's


@dataclass(frozen=True, slots=True)
class Page:
    """Some jobs of a list, in its order."""

    jobs: list[Record]
    scanned: int  #: rows that were walked for it
    next: Place | None  #: the next page begins beyond it; None: this was the last one
    estimated_total: int | None = None  #: jobs of the whole list; None: nothing cheap knows


def page(rows: list[Record], bounds: Bounds) -> Page:
    """Return the page that the rows of a statement are: those of `page` in their order, then that of END, which has no status."""
    walk = rows.pop() if rows and rows[-1]["status"] is None else None
    jobs, after = rows[: bounds.jobs], None
    if len(rows) > bounds.jobs:
        after = Place(jobs[-1]["id"], jobs[-1]["at"])
    elif walk is not None and walk["n"] == bounds.scanned:
        after = Place(walk["id"], walk["at"])
    last = walk or (rows[-1] if rows else None)
    return Page(jobs, 0 if last is None else last["n"], after)


def arguments(search: Search, beyond: Place | None, bounds: Bounds) -> tuple[object, ...]:
    """Return the arguments of PAGES for the page that begins beyond a place, None: the first one; one job more than it takes shows whether it is full."""
    first, last = search.ids(bounds.skew_s)
    by_end = search.order is Order.FINISHED
    if beyond is not None and not by_end:
        first, last = beyond.within(first, last, descending=search.descending)
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
        bounds.scanned,
        bounds.jobs + 1,
        search.as_of,
    )
    if not by_end:
        return found
    start = beyond or (Place(last, _LATEST) if search.descending else Place(first, _EARLIEST))
    return (*found, start.finished_at, start.job_id)
