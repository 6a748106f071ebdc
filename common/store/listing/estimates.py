"""About how many jobs a list has: what the planner expects, where the statistics of one table know all that is asked for."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from common.domain.job_search import JobSearch
from common.domain.states import TERMINAL

# By table, the filters whose values it has statistics of. Every table knows the time of creation, by its id. What two tables
# hold together nobody has counted, and a text is not looked for in statistics: there the planner would guess.
_FILTERS = {
    "jobs": ("operation", "queue"),
    "tags": ("tag",),
    "outcomes": ("statuses", "finished_after", "finished_before"),
}
_ROWS = "SELECT FROM {table} WHERE id BETWEEN $1 AND $2 AND {filters}"
# Planned with these values at hand, so what is not filtered is nothing to the planner. Without the statuses that are not asked for:
# of several in `= ANY` whose shares sum up to all, by a rounding error to more, it expects too little.
_ESTIMATES = {
    "jobs": _ROWS.format(table="jobs", filters="($3::text IS NULL OR operation = $3) AND ($4::text IS NULL OR queue = $4)"),
    "tags": _ROWS.format(table="tags", filters="tag = $3"),
    "outcomes": _ROWS.format(
        table="outcomes",
        filters="status <> ALL ($3::text[]) AND ($4::timestamptz IS NULL OR finished_at >= $4) AND ($5::timestamptz IS NULL OR finished_at < $5)",
    ),
}
# Of these partitions those that have rows, and whether anybody has looked at them: of others the planner expects some pages full.
_ANALYSED = """
SELECT p.name, c.relpages > 0 FROM unnest($1::text[]) AS p(name) JOIN pg_class c ON c.oid = p.name::regclass WHERE pg_relation_size(c.oid) > 0
"""


def estimated_total(connection: Connection, search: JobSearch, skew_s: float) -> int | None:
    """Return about how many jobs a search finds, a job that was retried once for each of its ends; None: nothing cheap knows.

    Where nothing is planned in parallel: of such a plan each part expects the rows of one process.
    """
    table = table_with_statistics(search)
    if table is None:
        return None
    values = [[str(one) for one in TERMINAL - search.statuses] if name == "statuses" else getattr(search, name) for name in _FILTERS[table]]
    expected = dict(_plan_rows(query_plan(connection, _ESTIMATES[table], (*search.id_range(skew_s), *values))))
    found = connection.exec_driver_sql(_ANALYSED, (list(expected),)).all()
    return sum(expected[name] for name, _ in found) if all(analysed for _, analysed in found) else None


def query_plan(connection: Connection, sql: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    """Return the top of the planner's plan of a statement: what it expects is in its `Plan Rows`."""
    plan: dict[str, Any] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", arguments).scalar_one()[0]["Plan"]
    return plan


def table_with_statistics(search: JobSearch) -> str | None:
    """Return the table whose statistics know all that a search asks for, None: there is none."""
    asked = search.filters
    for table, known in _FILTERS.items():
        if asked <= set(known) and (table != "outcomes" or search.finished_only):
            return table
    return None


def _plan_rows(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each table of a plan and the rows that are expected of it."""
    if "Relation Name" in node:
        yield node["Relation Name"], node["Plan Rows"]
    for part in node.get("Plans", ()):
        yield from _plan_rows(part)
