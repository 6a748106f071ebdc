"""Sizes of tables, dead rows, and the oldest open transaction, for metrics."""

from dataclasses import dataclass

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

TABLES = (
    "jobs",
    "live",
    "outcomes",
    "attempts",
    "workers",
    "tags",
    "job_logs",
    "idempotency_keys",
    "unique_keys",
    "runs",
    "deadlines",
    "expiries",
)

SIZES = Statement(
    "sizes",
    "text[]",
    """
    SELECT t.name, sum(pg_table_size(p.relid))::float8, sum(pg_indexes_size(p.relid))::float8,
           coalesce(sum(s.n_dead_tup), 0)::float8
    FROM unnest($1) AS t(name)
    CROSS JOIN LATERAL (SELECT t.name::regclass UNION SELECT relid FROM pg_partition_tree(t.name::regclass)) p(relid)
    LEFT JOIN pg_stat_all_tables s ON s.relid = p.relid
    GROUP BY 1
    """,
)

# Sessions of other users show their age only to members of pg_monitor.
OLDEST_TRANSACTION = Statement(
    "oldest_transaction",
    "text",
    """
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float8
    FROM pg_stat_activity WHERE backend_type = $1 AND pid <> pg_backend_pid()
    """,
)


@dataclass(frozen=True, slots=True)
class TableSize:
    """The size of a table with its partitions."""

    table: str
    rows_bytes: float
    index_bytes: float
    dead_rows: float  #: as PostgreSQL's statistics estimate them


def table_sizes(connection: WorkerConnection) -> list[TableSize]:
    """Return the size of each table."""
    return [TableSize(*row) for row in connection.run(SIZES, (list(TABLES),))]


def oldest_transaction_s(connection: WorkerConnection) -> float:
    """Return the age in seconds of the oldest open transaction, 0 when there is none."""
    return float(connection.run(OLDEST_TRANSACTION, ("client backend",))[0][0])
