"""Prepared statements, which a pooler gets inline instead, and the planner settings under which statements run."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Row = tuple[Any, ...]

#: Settings of sessions that run prepared statements. Plans must not depend on statistics: an empty or freshly loaded
#: `live` would flip a claim to a bitmap scan and a sort of everything (12,800 instead of 31,000 jobs/s). `enable_sort`
#: stays on: without it the ORDER BY of a settle reads a whole index.
INDEX_PLAN_SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}


def set_local(settings: Mapping[str, str]) -> str:
    """Return the statement that changes these settings until the transaction ends. Names and values are constants."""
    return "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())


#: Takes INDEX_PLAN_SETTINGS back for a transaction: its statements are planned for their arguments.
CUSTOM_PLAN_SETTINGS = {name: "auto" if name == "plan_cache_mode" else "on" for name in INDEX_PLAN_SETTINGS}
#: For index scans with a row budget, at which they end: lists, counts of bulk actions. Without parallel workers.
SET_INDEX_SCAN_PLANS = set_local(
    {
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "enable_material": "off",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
    }
)
#: For the statistics of the queues, which take jobs in the order of an index.
SET_QUEUE_STATS_PLANS = set_local({"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_sort": "off"})


def array_literal(values: Iterable[object]) -> str:
    """Return a PostgreSQL array literal of values that need no quotes: numbers, ids, times."""
    return "{" + ",".join(map(str, values)) + "}"


class Statement:
    """A named statement with $1-style arguments of declared types, prepared once a session."""

    def __init__(self, name: str, types: str, sql: str) -> None:
        self.name = name
        self.sql = sql
        self.types = types
        type_names = [type_name.strip() for type_name in types.split(",")]
        escaped = sql.replace("%", "%%")
        self.prepare = f"PREPARE {name} ({types}) AS {escaped}"
        self.execute = f"EXECUTE {name} ({', '.join(['%s'] * len(type_names))})"
        # In parentheses: PostgreSQL takes no subscript of a bare CAST.
        self.inline = re.sub(
            r"\$(\d+)", lambda number: f"(CAST(%({number[1]})s AS {type_names[int(number[1]) - 1]}))", escaped
        )

    def named_arguments(self, arguments: Sequence[object]) -> dict[str, object]:
        """Return the arguments by the names that `inline` gives them, which are their numbers."""
        return {str(number): argument for number, argument in enumerate(arguments, 1)}
