"""Hot statements: prepared once a session, or sent whole through a pooler."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

Row = tuple[Any, ...]

# Plans must not depend on statistics: an empty or freshly loaded `live` would flip a claim to a bitmap scan and a sort of
# everything (12,800 instead of 31,000 jobs/s). `enable_sort` stays on: without it settle's ORDER BY walks a whole index.
INDEX_PLAN_SETTINGS = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "plan_cache_mode": "force_generic_plan",
}


def array_literal(values: Iterable[object]) -> str:
    """Return an array as PostgreSQL reads it, of values that need no quotes: numbers, ids, times."""
    return "{" + ",".join(map(str, values)) + "}"


class Statement:
    """A named hot statement with $1-style arguments of declared types."""

    def __init__(self, name: str, types: str, sql: str) -> None:
        self.name = name
        self.sql = sql
        self.types = types
        split = types.split(",")
        escaped = sql.replace("%", "%%")
        self.prepare = f"PREPARE {name} ({types}) AS {escaped}"
        self.execute = f"EXECUTE {name} ({', '.join(['%s'] * len(split))})"
        self.inline = re.sub(r"\$(\d+)", lambda found: f"CAST(%({found[1]})s AS {split[int(found[1]) - 1].strip()})", escaped)

    def named_arguments(self, arguments: Sequence[object]) -> dict[str, object]:
        """Return arguments as `inline` names them: by their number."""
        return {str(number): argument for number, argument in enumerate(arguments, 1)}
