"""Query plans: a statement runs under EXPLAIN ANALYZE and is rolled back."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

_BY_ID = ("live_pkey",)
_OF_KEY = r"tenant = [^()]*\) AND \(running_key = "
#: By index, the beginning of a condition with which a scan begins at a known position.
_FIRST_COLUMN = {
    "live_pkey": ("id = ",),
    "live_due": ("queue = ",),
    "live_line": (r"queue = .*\((tenant = |ROW\(tenant, )",),
    "live_running_key": (_OF_KEY,),
    "live_parked": (_OF_KEY, r"ROW\(tenant, running_key, "),
}
_ANALYZE = "EXPLAIN (ANALYZE, BUFFERS, WAL, FORMAT JSON)"


@dataclass(frozen=True)
class Plan:
    """A query plan that has run."""

    root: dict[str, Any]

    @property
    def nodes(self) -> Iterator[dict[str, Any]]:
        """All nodes in their order, those that did not run included."""
        return _descendants(self.root)

    @property
    def buffers(self) -> int:
        """The number of pages touched."""
        return int(self.root["Shared Hit Blocks"] + self.root["Shared Read Blocks"])

    def scans(self, table: str, *, ran: bool = True) -> list[dict[str, Any]]:
        """Return the scans of a table and its partitions; `ran`: only those that ran."""
        name = re.compile(rf"{table}(_\d{{8}})?")
        scans = (
            node for node in self.nodes if "Scan" in node["Node Type"] and name.fullmatch(node.get("Relation Name", ""))
        )
        return [node for node in scans if node["Actual Loops"] or not ran]

    def partitions(self, table: str) -> set[str]:
        """Return the partitions of a table that were scanned."""
        return {str(node["Relation Name"]) for node in self.scans(table)}

    def read(self, table: str, index: str) -> float:
        """Return how many rows of a table were read through an index."""
        scans = (node for node in self.scans(table) if node.get("Index Name") == index)
        return float(
            sum((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in scans)
        )

    def unbounded(self, table: str) -> list[str]:
        """Return scans of a table that no known position of an index bounds, and sorts of rows not found by id."""
        scans = self.scans(table, ran=False)
        nodes = [
            f"{node['Node Type']} {node.get('Index Name', '')} {node.get('Index Cond') or node.get('Filter', '')}"
            for node in scans
            if not _is_bounded(node)
        ]
        for sort in (node for node in self.nodes if "Sort" in node["Node Type"]):
            nodes += [
                f"Sort of {node['Index Name']}"
                for node in Plan(sort).scans(table, ran=False)
                if _is_bounded(node) and node["Index Name"] not in _BY_ID
            ]
        return nodes

    def __str__(self) -> str:
        keys = ("Node Type", "Relation Name", "Index Name", "Index Cond", "Filter", "Actual Rows", "Actual Loops")
        return "\n".join(" ".join(str(node.get(key, "")) for key in keys) for node in self.nodes)


def _is_bounded(node: dict[str, Any]) -> bool:
    """Return True if the scan has a condition on the first column of its index; by a later one it reads all of it."""
    condition = str(node.get("Index Cond", "")).lstrip("(")
    return any(re.match(first, condition) for first in _FIRST_COLUMN.get(str(node.get("Index Name")), ()))


def _descendants(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _descendants(child)


def explain(connection: WorkerConnection, statement: Statement, arguments: Sequence[object]) -> Plan:
    """Run a statement under EXPLAIN ANALYZE as its connection would, and roll it back."""
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
