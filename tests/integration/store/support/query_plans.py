"""What PostgreSQL does for a statement: run under EXPLAIN, rolled back, and looked through."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

_BY_ID = ("live_pkey",)
_FIRST_COLUMN = {"live_pkey": "id = ", "live_due": "queue = "}
_ANALYZE = "EXPLAIN (ANALYZE, BUFFERS, WAL, FORMAT JSON)"


@dataclass(frozen=True)
class Plan:
    """A plan that has run."""

    root: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        """Every node, first to last, also what did not have to run."""
        return _below(self.root)

    @property
    def buffers(self) -> int:
        """Pages touched."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    def scans(self, table: str, *, ran: bool = True) -> list[dict[str, Any]]:
        """The scans of a table, or of any of its partitions, that ran."""
        form = re.compile(rf"{table}(_\d{{8}})?")
        named = (node for node in self.nodes if "Scan" in node["Node Type"] and form.fullmatch(node.get("Relation Name", "")))
        return [node for node in named if node["Actual Loops"] or not ran]

    def partitions(self, table: str) -> set[str]:
        """The partitions of a table that were looked into."""
        return {str(node["Relation Name"]) for node in self.scans(table)}

    def read(self, table: str, index: str) -> float:
        """How many entries of an index were looked at in the table."""
        scans = (node for node in self.scans(table) if node.get("Index Name") == index)
        return float(sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans))

    def wide(self, table: str) -> list[str]:
        """What would read the table other than by an index from a known place, or sort rows that were not found by their ids."""
        scans = self.scans(table, ran=False)
        bad = [f"{node['Node Type']} {node.get('Index Name', '')} {node.get('Index Cond') or node.get('Filter', '')}" for node in scans if not _narrow(node)]
        for sort in (node for node in self.nodes if "Sort" in node["Node Type"]):
            bad += [f"Sort of {node['Index Name']}" for node in Plan(sort).scans(table, ran=False) if _narrow(node) and node["Index Name"] not in _BY_ID]
        return bad

    def __str__(self) -> str:
        keys = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", "Actual Rows", "Actual Loops")
        return "\n".join(" ".join(str(node.get(key, "")) for key in keys) for node in self.nodes)


def _narrow(node: dict[str, Any]) -> bool:
    """Whether a scan goes down an index by its first column; by a later one it would walk all of it."""
    return str(node.get("Index Cond", "")).lstrip("(").startswith(_FIRST_COLUMN.get(str(node.get("Index Name")), "?"))


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _below(child)


def explain(connection: WorkerConnection, statement: Statement, arguments: Sequence[object]) -> Plan:
    """Run a statement as its connection would, under EXPLAIN, and roll it back."""
    cursor = connection.driver_connection.cursor()
    if not connection.pooled and statement.name not in connection._prepared:
        cursor.execute(statement.prepare)
        connection._prepared.add(statement.name)
    cursor.execute(f"BEGIN; {connection._session_settings if connection.pooled else ''}")
    try:
        if connection.pooled:
            cursor.execute(f"{_ANALYZE} {statement.inline}", statement.named_arguments(arguments))
        else:
            cursor.execute(f"{_ANALYZE} {statement.execute}", arguments)
        row = cursor.fetchone()
    finally:
        cursor.execute("ROLLBACK")
    assert row is not None
    return Plan(row[0][0]["Plan"])
