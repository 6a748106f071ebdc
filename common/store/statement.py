"""Hot statements: prepared once a session, or sent whole through a pooler."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

Row = tuple[Any, ...]


def array(values: Iterable[object]) -> str:
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

    def named(self, arguments: Sequence[object]) -> dict[str, object]:
        """Return arguments as `inline` names them: by their number."""
        return {str(number): argument for number, argument in enumerate(arguments, 1)}
