"""What PostgreSQL believes of `live`: kept as that of a table that nobody has looked at, whose rows it counts by its pages."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

# Vacuumed or analyzed while hardly a row waits, but pages are left, `live` counts as empty however many jobs come after. To walk
# an index then costs no more than to find a row by its id, and claims do: 6,400 instead of 110,000 jobs/s on a backlog of
# 300,000, until somebody looks at the table again. Not where the role may not: a table of another owner.
CLEAR = Statement(
    "forget_statistics",
    "text",
    """
    SELECT pg_clear_relation_stats(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1::regclass AND c.reltuples >= 0 AND has_table_privilege(c.oid, 'MAINTAIN')
    """,
)


def clear_live_statistics(connection: WorkerConnection) -> None:
    """Forget how many rows were seen in `live`, if somebody has counted; plans that were made by it are made anew."""
    connection.run(CLEAR, ("live",))
