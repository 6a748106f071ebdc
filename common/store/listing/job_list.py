"""Lists of jobs, a page at a time: each walks one index from a known place, within a budget of rows, whatever the size of the tables."""

from dataclasses import replace

from sqlalchemy import Connection

from common.domain.job_search import JobSearch, ListPosition
from common.store.listing import estimates, index_scan
from common.store.listing.index_scan import LAST_SCANNED, PAGE_STATEMENTS, JobPage, ScanLimits

# Plans by index whatever the statistics say, as those of `statement.BY_INDEX`; and by one process: it ends at a budget.
BY_INDEX = """
SELECT set_config(s.name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_material', 'jit']) s(name)
UNION ALL SELECT set_config('max_parallel_workers_per_gather', '0', true)
"""

_PAGE = f"""
SELECT p.n, p.id, p.at, p.status, p.operation, p.queue, p.priority, p.created_at, p.due_at, p.started_at, p.finished_at, p.attempt, p.max_attempts,
       p.error_type, left(p.error_text, 200) AS error_text, (SELECT j.tags FROM jobs j WHERE j.id = p.id) AS tags
FROM page p
UNION ALL
SELECT l.n, l.id, l.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
{LAST_SCANNED}
"""
LISTS = {of: begin + _PAGE for of, begin in PAGE_STATEMENTS.items()}


def page(connection: Connection, search: JobSearch, after: ListPosition | None, limits: ScanLimits) -> JobPage:
    """Return the page of a list that begins beyond a place, None: the first one. In a transaction of the caller."""
    connection.exec_driver_sql(BY_INDEX)
    rows = [
        dict(row) for row in connection.exec_driver_sql(LISTS[search.index, search.descending], index_scan.scan_arguments(search, after, limits)).mappings()
    ]
    found = index_scan.page_of_rows(rows, limits)
    if after is not None:
        return found
    total = len(found.jobs) if found.next is None else estimates.estimated_total(connection, search, limits.skew_s)
    return replace(found, estimated_total=None if total is None else max(total, len(rows)))
