"""The controller's statements: old changes are deleted, and how long the oldest change waits for its number."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.feed.numbering import WAITING_TENANTS

DELETE = Statement(
    "feed_delete",
    "bigint, bigint, bigint",
    """
    WITH old AS MATERIALIZED (
        SELECT f.tenant, max(p.last_number) AS number FROM feeds f
        CROSS JOIN LATERAL (
            SELECT last_number, numbered_at FROM feed_pages
            WHERE feed_pages.tenant = f.tenant ORDER BY last_number LIMIT $3) p
        WHERE p.numbered_at < clock_timestamp() - $1 * interval '1 h' OR p.last_number <= f.last_number - $2
        GROUP BY 1),
    moved AS (
        UPDATE feeds SET deleted_to = greatest(feeds.deleted_to, old.number)
        FROM old WHERE feeds.tenant = old.tenant),
    gone AS (
        DELETE FROM feed_pages USING old
        WHERE feed_pages.tenant = old.tenant AND feed_pages.last_number <= old.number RETURNING true)
    SELECT count(*) FROM gone
    """,
)
LAG = Statement(
    "feed_lag",
    "bigint",
    f"""
    {WAITING_TENANTS}
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - first.at)), 0)::float8
    FROM (SELECT tenant FROM waiting WHERE tenant IS NOT NULL LIMIT $1) w
    CROSS JOIN LATERAL (
        SELECT at FROM feed_changes WHERE feed_changes.tenant = w.tenant ORDER BY id LIMIT 1) first
    """,
)
MAX_TENANTS = 10_000


def delete_old(connection: WorkerConnection, hours: int, max_changes: int, limit: int) -> int:
    """Delete pages that got their numbers `hours` ago, and of each tenant those before its newest `max_changes`.

    At most `limit` pages of each tenant. Return how many.
    """
    return int(connection.run(DELETE, (hours, max_changes, limit))[0][0])


def lag_s(connection: WorkerConnection) -> float:
    """Return for how many seconds the oldest change without a number has waited; 0 if there is none."""
    return float(connection.run(LAG, (MAX_TENANTS,))[0][0])
