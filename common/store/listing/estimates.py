"""Estimated totals of lists: the planner's row estimate, if the statistics of one table cover all filters."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from common.domain.job_search import JobSearch
from common.domain.states import TERMINAL

# table → filters that its statistics cover. Every table covers the time of creation, which is in the id. For filters of
# two tables, and for a substring, there are no statistics: the planner would guess.
_FILTERS = {
    "jobs": ("operation", "queue"),
    "tags": ("tag",),
    "outcomes": ("statuses", "finished_after", "finished_before"),
}
_ROWS = "SELECT FROM {table} WHERE id BETWEEN $1 AND $2 AND {filters}"
# The planner sees the values, so it ignores a filter that is NULL. The statuses are given as those to exclude: for an
# `= ANY` of several whose shares sum up to 1, or by a rounding error to more, the planner estimates too few rows.
_ESTIMATES = {
    "jobs": _ROWS.format(
        table="jobs", filters="($3::text IS NULL OR operation = $3) AND ($4::text IS NULL OR queue = $4)"
    ),
    "tags": _ROWS.format(table="tags", filters="tag = $3"),
    "outcomes": _ROWS.format(
        table="outcomes",
        filters="status <> ALL ($3::text[]) AND ($4::timestamptz IS NULL OR finished_at >= $4) "
        "AND ($5::timestamptz IS NULL OR finished_at < $5)",
    ),
}
# The partitions that have rows, and if they were analysed. For other ones the planner assumes full pages.
_ANALYSED = """
SELECT p.name, c.relpages > 0 FROM unnest($1::text[]) AS p(name) JOIN pg_class c ON c.oid = p.name::regclass
WHERE pg_relation_size(c.oid) > 0
"""


def estimated_total(connection: Connection, search: JobSearch, skew_s: float) -> int | None:
    """Return the estimated number of jobs that match, counting a retried job once for each outcome.

    None: no statistics cover the search, or a partition is not analysed yet. The caller must have switched off parallel
    plans, whose nodes show the rows of one process. `skew_s`: see `JobSearch.id_range`.
    """
    table = table_with_statistics(search)
    if table is None:
        return None
    values = [
        [str(status) for status in TERMINAL - search.statuses] if name == "statuses" else getattr(search, name)
        for name in _FILTERS[table]
    ]
    plan_rows = dict(_plan_rows(query_plan(connection, _ESTIMATES[table], (*search.id_range(skew_s), *values))))
    partitions = connection.exec_driver_sql(_ANALYSED, (list(plan_rows),)).all()
    return sum(plan_rows[name] for name, _ in partitions) if all(analysed for _, analysed in partitions) else None


def query_plan(connection: Connection, sql: str, arguments: tuple[object, ...]) -> dict[str, Any]:
    """Return the top node of a statement's plan; its `Plan Rows` is the estimate."""
    plan: dict[str, Any] = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {sql}", arguments).scalar_one()[0]["Plan"]
    return plan


def table_with_statistics(search: JobSearch) -> str | None:
    """Return the table whose statistics cover all filters of a search; None: there is none."""
    for table, covered in _FILTERS.items():
        if search.filters <= set(covered) and (table != "outcomes" or search.finished_only):
            return table
    return None


def _plan_rows(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield each table of a plan with its estimated rows."""
    if "Relation Name" in node:
        yield node["Relation Name"], node["Plan Rows"]
    for child in node.get("Plans", ()):
        yield from _plan_rows(child)
