"""Estimated totals of lists: the planner's row estimate, if the statistics of one table cover all filters."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from common.domain.job_search import JobSearch
from common.domain.states import TERMINAL
from common.store.connection.caller import OF_CALLER

# table → filters that its statistics cover. Every table covers the time of creation, which is in the id. For filters of
# two tables, and for a substring, there are no statistics: the planner would guess.
_FILTERS = {
    "jobs": ("operation", "queue"),
    "tags": ("tag",),
    "outcomes": ("statuses", "finished_after", "finished_before"),
}
_ROWS = "SELECT FROM {table} WHERE id BETWEEN $1 AND $2 AND tenant = $3 AND {filters}"
# The planner sees the values, so it ignores a filter that is NULL. Two statuses are given as the third, to exclude: the
# planner multiplies the shares of several in an array, as if a job could have all of them.
_ESTIMATES = {
    "jobs": _ROWS.format(
        table="jobs", filters="($4::text IS NULL OR operation = $4) AND ($5::text IS NULL OR queue = $5)"
    ),
    "tags": _ROWS.format(table="tags", filters="($4::text IS NULL OR tag = $4)"),
    "outcomes": _ROWS.format(
        table="outcomes",
        filters="($4::text IS NULL OR status = $4) AND ($5::text IS NULL OR status <> $5) "
        "AND ($6::timestamptz IS NULL OR finished_at >= $6) AND ($7::timestamptz IS NULL OR finished_at < $7)",
    ),
}
# The planner multiplies each estimate with a guess for the policy of row level security. A second such condition shows
# the guess: then it is divided out.
_OF_CALLER = f"SELECT FROM {{table}} WHERE id BETWEEN $1 AND $2 AND {OF_CALLER}"
_OF_ANYONE = "SELECT FROM {table} WHERE id BETWEEN $1 AND $2"
_HAS_POLICY = "SELECT row_security_active($1::text)"
_NO_JOB = "?" * 65  # longer than any value: the planner expects as many rows as for another one without statistics
_VALUES = {"operation": ("operation",), "queue": ("queue",), "tag": ("tag",), "statuses": ("status", "other_status")}
_TIMES = ("created_after", "created_before", "finished_after", "finished_before")
_SAMPLE_ROWS = 30_000  # that ANALYZE reads of a table, with the default `default_statistics_target`
_MIN_SAMPLED_ROWS = 10
# The partitions that have rows: if they were analysed, their rows then, and about how many have changed since. The
# counter has each row within ten seconds, but a crash or a failover sets it to 0; pages are never fewer.
_STATISTICS = """
SELECT p.name, c.relpages > 0, c.reltuples::bigint, greatest(pg_stat_get_mod_since_analyze(c.oid),
       (s.pages - c.relpages) * c.reltuples / nullif(c.relpages, 0), 0)::bigint
FROM unnest($1::text[]) AS p(name) JOIN pg_class c ON c.oid = p.name::regclass
CROSS JOIN LATERAL (SELECT pg_relation_size(c.oid) / current_setting('block_size')::int AS pages) s WHERE s.pages > 0
"""
_Rows = dict[str, int]  # by partition, as the planner expects them
_Plan = Callable[[Mapping[str, object]], _Rows]  # of the search with other values


@dataclass(frozen=True, slots=True)
class _Statistics:
    """The planner's knowledge of a partition."""

    is_analyzed: bool
    rows: int  #: when it was analysed
    changed: int  #: rows since then


def estimated_total(connection: Connection, tenant: int, search: JobSearch, skew_s: float) -> int | None:
    """Return the estimated number of a tenant's jobs that match, counting a retried job once for each outcome.

    None: no statistics cover the search, or a partition is not analysed yet, or the estimate may be wrong by more than
    a factor of two: it stands for rows that have changed since, for a value that is not in the statistics, or for fewer
    than ten rows of the sample. The caller must have switched off parallel plans, whose nodes show the rows of one
    process. `skew_s`: see `JobSearch.id_range`.
    """
    table = table_with_statistics(search)
    if table is None:
        return None
    values, ids = _values(search, table), search.id_range(skew_s)
    guesses = policy_guesses(connection, table, ids)

    def plan(other_values: Mapping[str, object]) -> _Rows:
        arguments = (*ids, tenant, *{**values, **other_values}.values())
        rows = dict(_plan_rows(query_plan(connection, _ESTIMATES[table], arguments)))
        return {name: max(1, round(count / guesses.get(name, 1.0))) for name, count in rows.items()}

    rows = plan({})
    statistics = {row[0]: _Statistics(*row[1:]) for row in connection.exec_driver_sql(_STATISTICS, (list(rows),)).all()}
    rows = {name: rows[name] for name in statistics}
    is_known = (
        all(known.is_analyzed for known in statistics.values())
        and not _is_sampled_too_rarely(rows, statistics)
        and _knows_values(search, rows, statistics, plan)
        and _knows_times(search, statistics, plan)
    )
    return sum(rows.values()) if is_known else None


def policy_guesses(connection: Connection, table: str, ids: tuple[object, ...]) -> dict[str, float]:
    """Return, by partition, the share of its rows that the planner expects to pass the policy; empty: there is none."""
    if not connection.exec_driver_sql(_HAS_POLICY, (table,)).scalar_one():
        return {}
    once, twice = (
        dict(_plan_rows(query_plan(connection, sql.format(table=table), ids))) for sql in (_OF_ANYONE, _OF_CALLER)
    )
    return {name: twice[name] / once[name] for name in once if twice.get(name)}


def _values(search: JobSearch, table: str) -> dict[str, object]:
    """Return the arguments of the estimate, without the ids."""
    values = {name: getattr(search, name) for name in _FILTERS[table] if name != "statuses"}
    if table != "outcomes":
        return values
    (status, *more), others = sorted(search.statuses), sorted(TERMINAL - search.statuses)
    return {"status": None if more else status, "other_status": others[0] if len(others) == 1 else None, **values}


def _knows_values(search: JobSearch, rows: _Rows, statistics: Mapping[str, _Statistics], plan: _Plan) -> bool:
    """Return True if the statistics have the values of a search, and rows that changed since cannot be most matches."""
    doubtful = set(statistics) if search.tag is not None else set()  # a batch may give a tag to any number of jobs
    for name in search.filters & _VALUES.keys():
        value, *others = _VALUES[name]
        unknown = plan({value: _NO_JOB, **dict.fromkeys(others)})
        # A partition is absent if a constraint shows that it has no such value. The planner never expects fewer than 1.
        without = {partition for partition in rows if rows[partition] == unknown.get(partition, 1)}
        if any(rows[partition] > 1 for partition in without):
            return False  # an average over the values that are not among the most common ones
        doubtful |= without
    return 2 * sum(statistics[partition].changed for partition in doubtful) <= sum(rows.values())


def _knows_times(search: JobSearch, statistics: Mapping[str, _Statistics], plan: _Plan) -> bool:
    """Return True if the rows of a search's times are older than the statistics, most of them."""
    if not any(getattr(search, name) for name in _TIMES):
        return True
    rows = plan({value: None for name in search.filters & _VALUES.keys() for value in _VALUES[name]})
    return 2 * sum(known.changed for known in statistics.values()) <= sum(rows.get(name, 0) for name in statistics)


def _is_sampled_too_rarely(rows: _Rows, statistics: Mapping[str, _Statistics]) -> bool:
    """Return True if ANALYZE saw too few of the rows that an estimate stands for."""
    known = sum(partition.rows for partition in statistics.values())
    sampled = sum(min(partition.rows, _SAMPLE_ROWS) for partition in statistics.values())
    return sampled < known and sum(rows.values()) * sampled < _MIN_SAMPLED_ROWS * known


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
