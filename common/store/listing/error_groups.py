"""Error groups: the FAILED jobs of a tenant by operation, error type and normalised text, of its newest failures."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, RowMapping

from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing.error_texts import GROUP_ID, NORMALISED, SHOWN_CHARACTERS

SAMPLE = 10  # ids of jobs that a group shows
BUCKETS = 24  # counts over time that a group shows

# A job that has been retried since is FAILED no more, or is in the scan with its newest outcome. The scan reads
# `outcomes_unsuccessful_finished_at` from its newest entry down, and ends after $6 rows.
_GROUPS = f"""
WITH scanned AS MATERIALIZED (
    SELECT id, run, status, finished_at, error_type, error_text FROM outcomes
    WHERE tenant = $1 AND status <> 'SUCCESS' AND finished_at >= $2 AND finished_at < $3
    ORDER BY finished_at DESC, id DESC LIMIT $6),
span AS MATERIALIZED (
    SELECT count(*) AS scanned, count(*) < $6 AS is_complete,
           CASE WHEN count(*) < $6 AND $2 > '0001-01-01T00:00:00Z' THEN $2 ELSE min(finished_at) END AS since,
           CASE WHEN $3 < clock_timestamp() THEN $3 ELSE clock_timestamp() END AS until
    FROM scanned),
failed AS MATERIALIZED (
    SELECT s.id, s.finished_at, j.operation, s.error_type, left(s.error_text, {SHOWN_CHARACTERS}) AS shown,
           {NORMALISED.format(text="s.error_text")} AS normalised
    FROM scanned s
    CROSS JOIN LATERAL (SELECT operation, queue FROM jobs WHERE jobs.id = s.id AND jobs.tenant = $1 OFFSET 0) j
    WHERE s.status = 'FAILED' AND ($4::text IS NULL OR j.operation = $4) AND ($5::text IS NULL OR j.queue = $5)
      AND NOT EXISTS (SELECT FROM live WHERE live.id = s.id OFFSET 0)
      AND NOT EXISTS (SELECT FROM outcomes o WHERE o.id = s.id AND o.run > s.run OFFSET 0)),
groups AS MATERIALIZED (
    SELECT operation, error_type, normalised, count(*) AS count,
           min(finished_at) AS first_at, max(finished_at) AS last_at,
           (array_agg(id ORDER BY finished_at DESC, id DESC))[1:{SAMPLE}] AS sample,
           (array_agg(shown ORDER BY finished_at DESC, id DESC))[1] AS sample_text,
           array_agg(least({BUCKETS - 1}, floor(extract(epoch FROM finished_at - since) * {BUCKETS}
               / greatest(0.000001, extract(epoch FROM until - since))))::int) AS buckets
    FROM failed, span GROUP BY operation, error_type, normalised)
SELECT s.*, totals.groups_total, totals.failed, g.*,
       {GROUP_ID.format(operation="g.operation", type="g.error_type", normalised="g.normalised")} AS id
FROM span s
CROSS JOIN (SELECT count(*) AS groups_total, coalesce(sum(count), 0)::bigint AS failed FROM groups) totals
LEFT JOIN (SELECT * FROM groups ORDER BY count DESC, last_at DESC, operation, error_type, normalised LIMIT $7) g ON true
ORDER BY g.count DESC, g.last_at DESC, g.operation, g.error_type, g.normalised
"""
_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ErrorSearch:
    """Which failures are grouped. None: no such filter."""

    tenant: int
    operation: str | None = None
    queue: str | None = None
    finished_after: datetime | None = None  #: inclusive
    finished_before: datetime | None = None  #: exclusive


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """FAILED jobs of an operation with the same error type and normalised text."""

    id: str
    operation: str
    error_type: str
    normalised: str
    count: int
    first_at: datetime
    last_at: datetime
    counts: list[int]  #: in BUCKETS equal parts of the time, oldest first
    sample: list[UUID]  #: the newest jobs, at most SAMPLE
    sample_text: str  #: the error text of the newest job, cut as in a list of jobs


@dataclass(frozen=True, slots=True)
class ErrorGroups:
    """The largest groups, and which failures they are of."""

    groups: list[ErrorGroup]
    groups_total: int
    failed: int  #: jobs in all groups
    scanned: int  #: rows
    is_complete: bool  #: False: the limit ended the scan
    since: datetime | None  #: begin of the time that was scanned; None: there is no failure, and no such filter
    until: datetime


def read(connection: Connection, search: ErrorSearch, scan_limit: int, limit: int) -> ErrorGroups:
    """Return the `limit` largest groups among a tenant's newest failures. Scans at most `scan_limit` rows.

    Rows are those of FAILED and CANCELLED runs. Needs a transaction.
    """
    connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
    after, before = search.finished_after or _EARLIEST, search.finished_before or _LATEST
    arguments = (search.tenant, after, before, search.operation, search.queue, scan_limit, limit)
    rows = list(connection.exec_driver_sql(_GROUPS, arguments).mappings())
    first = rows[0]
    return ErrorGroups(
        [_group(row) for row in rows if row["id"] is not None],
        first["groups_total"],
        first["failed"],
        first["scanned"],
        first["is_complete"],
        first["since"],
        first["until"],
    )


def _group(row: RowMapping) -> ErrorGroup:
    counts = [0] * BUCKETS
    for bucket in row["buckets"]:
        counts[bucket] += 1
    return ErrorGroup(
        row["id"],
        row["operation"],
        row["error_type"],
        row["normalised"],
        row["count"],
        row["first_at"],
        row["last_at"],
        counts,
        row["sample"],
        row["sample_text"],
    )
