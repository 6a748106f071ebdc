"""Lists of jobs, a page at a time: each walks one index from a known place, within a budget of rows, whatever the size of the tables."""

from dataclasses import replace

from sqlalchemy import Connection

from common.domain.search import Place, Search
from common.store import walks
from common.store.walks import END, PAGES, Bounds, Page

# Plans by index whatever the statistics say, as in `session.Hot`.
BY_INDEX = """
SELECT set_config(s.name, 'off', true)
FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin', 'enable_mergejoin', 'enable_material', 'jit']) s(name)
"""

_PAGE = f"""
SELECT p.n, p.id, p.at, p.status, p.operation, p.queue, p.priority, p.created_at, p.due_at, p.started_at, p.finished_at, p.attempt, p.max_attempts,
       p.error_type, left(p.error_text, 200) AS error_text, (SELECT j.tags FROM jobs j WHERE j.id = p.id) AS tags
FROM page p
UNION ALL
SELECT l.n, l.id, l.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
{END}
"""
LISTS = {of: begin + _PAGE for of, begin in PAGES.items()}

# Rows at the last vacuum or analyze, and as many a page in what has grown since; none where there was neither.
_ESTIMATE = """
SELECT CASE WHEN bool_and(c.relpages > 0 OR pg_relation_size(c.oid) = 0)
       THEN coalesce(sum(c.reltuples / nullif(c.relpages, 0) * (pg_relation_size(c.oid) / current_setting('block_size')::int)), 0)::bigint END
FROM pg_partition_tree('jobs') p JOIN pg_class c ON c.oid = p.relid WHERE p.isleaf
"""


def page(connection: Connection, search: Search, beyond: Place | None, bounds: Bounds) -> Page:
    """Return the page of a list that begins beyond a place, None: the first one. In a transaction of the caller."""
    connection.exec_driver_sql(BY_INDEX)
    rows = connection.exec_driver_sql(LISTS[search.way, search.descending], walks.arguments(search, beyond, bounds)).mappings()
    found = walks.page([dict(row) for row in rows], bounds)
    if beyond is not None:
        return found
    return replace(found, estimated_total=len(found.jobs) if found.next is None else _estimate(connection, search))


def _estimate(connection: Connection, search: Search) -> int | None:
    found: int | None = connection.exec_driver_sql(_ESTIMATE).scalar_one() if search.is_everything else None
    return found
