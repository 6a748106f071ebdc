"""Pages of job lists: each is one index scan from a known position with a row budget, at any size of the tables."""

from dataclasses import replace

from sqlalchemy import Connection

from common.domain.job_search import JobSearch, ListPosition
from common.store.connection.statement import SET_INDEX_SCAN_PLANS
from common.store.listing import estimates, index_scan
from common.store.listing.error_texts import SHOWN_CHARACTERS
from common.store.listing.index_scan import LAST_SCANNED, PAGE_STATEMENTS, JobPage, ScanLimits
from common.store.tenancy.only_tenant import is_indexed

#: The columns of a job in a list, of a row of `job_states` or of a page of them.
SHOWN = f"""{{row}}.status, {{row}}.operation, {{row}}.queue, {{row}}.priority, {{row}}.created_at, {{row}}.due_at,
       {{row}}.started_at, {{row}}.finished_at, {{row}}.attempt, {{row}}.max_attempts, {{row}}.error_type,
       left({{row}}.error_text, {SHOWN_CHARACTERS}) AS error_text,
       (SELECT j.tags FROM jobs j WHERE j.id = {{row}}.id) AS tags"""
_PAGE = f"""
SELECT p.n, p.id, p.at, {SHOWN.format(row="p")}
FROM page p
UNION ALL
SELECT l.n, l.id, l.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
{LAST_SCANNED}
"""
LISTS = {key: statement + _PAGE for key, statement in PAGE_STATEMENTS.items()}


def page(
    connection: Connection, tenant: int, search: JobSearch, after: ListPosition | None, limits: ScanLimits
) -> JobPage:
    """Return the page of a tenant's jobs behind a position; None: the first page, with an estimated total.

    Needs a transaction.
    """
    connection.exec_driver_sql(SET_INDEX_SCAN_PLANS)
    rows = [
        dict(row)
        for row in connection.exec_driver_sql(
            LISTS[search.index, search.descending, is_indexed(tenant)],
            index_scan.scan_arguments(tenant, search, after, limits),
        ).mappings()
    ]
    job_page = index_scan.page_of_rows(rows, limits)
    if after is not None:
        return job_page
    last = job_page.next is None
    total = len(job_page.jobs) if last else estimates.estimated_total(connection, tenant, search, limits.skew_s)
    return replace(job_page, estimated_total=None if total is None else max(total, len(rows)))
