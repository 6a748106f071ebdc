"""Planner statistics of `live`, kept cleared: PostgreSQL then estimates the number of rows from that of the pages."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

HAS_CLEAR = 180_000  # the version of PostgreSQL from which on there is the function that clears them
# After a vacuum or analyze with hardly a row in its pages, `live` counts as empty, however many jobs are inserted
# later. A scan of a whole index then seems as cheap as a look-up by id, and claims choose it: 6,400 instead of 110,000
# jobs/s on a backlog of 300,000, until the next vacuum or analyze. Skipped where the role lacks the privilege (another
# owner's table).
CLEAR = Statement(
    "clear_live_statistics",
    "text",
    """
    SELECT pg_clear_relation_stats(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1::regclass AND c.reltuples >= 0 AND has_table_privilege(c.oid, 'MAINTAIN')
    """,
)


def clear_live_statistics(connection: WorkerConnection) -> None:
    """Clear the row count of `live`, if a vacuum or analyze has stored one, and so the plans made with it.

    Does nothing before PostgreSQL 18, where only a superuser could.
    """
    if connection.driver_connection.info.server_version >= HAS_CLEAR:
        connection.run(CLEAR, ("live",))
