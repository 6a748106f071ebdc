"""Counts of what tenants use, by the leading controller: their jobs once a second, their bytes once a minute."""

from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from common.store.connection.statement import Statement
from common.store.tenancy.line_index import LINE

if TYPE_CHECKING:  # the API does not import psycopg2
    from common.store.connection.psycopg2_session import WorkerConnection

#: Waiting jobs of a band that may be before a running one, such as jobs of an operation that no worker knows.
PASSED = 1_000
ANY_LIMITED = Statement(
    "any_tenant_limited",
    "bigint, bigint",
    """
    SELECT $1 > 0 OR $2 > 0
           OR EXISTS (SELECT FROM tenants WHERE num_nonnulls(max_waiting_jobs, max_running_jobs) > 0)
    """,
)
_LINE = LINE.format(queue="q.queue", tenant="t.id")
# $1 and $2: the quotas of tenants that have none of their own; 0: no limit. Read by the lines of tenants with a quota.
# Waiting jobs are counted up to the quota. Running ones are the first of their bands, because jobs are claimed in
# the order of these.
COUNT_JOBS = Statement(
    "count_jobs_of_tenants",
    "bigint, bigint",
    f"""
    WITH limited AS MATERIALIZED (
        SELECT id, coalesce(max_waiting_jobs, nullif($1, 0)) AS most_waiting,
               coalesce(max_running_jobs, nullif($2, 0)) AS most_running
        FROM tenants WHERE $1 > 0 OR $2 > 0 OR num_nonnulls(max_waiting_jobs, max_running_jobs) > 0),
    queues AS MATERIALIZED (
        SELECT queue FROM operations UNION SELECT unnest(queues) FROM operations
        UNION SELECT unnest(queues) FROM workers WHERE ended_at IS NULL),
    counted AS MATERIALIZED (
        SELECT t.id,
               (SELECT count(*) FROM (
                    SELECT FROM queues q
                    CROSS JOIN LATERAL (
                        SELECT FROM live l WHERE {_LINE} AND l.worker IS NULL
                        ORDER BY l.priority, l.claimable_at, l.id LIMIT coalesce(t.most_waiting, 0)) job
                    LIMIT coalesce(t.most_waiting, 0)) jobs) AS waiting,
               (SELECT count(job.worker) FROM queues q
                CROSS JOIN LATERAL (SELECT FROM live l WHERE {_LINE} ORDER BY l.priority LIMIT 1) has_jobs
                CROSS JOIN generate_series(0, 9) AS p(priority)
                CROSS JOIN LATERAL (
                    SELECT l.worker FROM live l WHERE {_LINE} AND l.priority = p.priority
                    ORDER BY l.claimable_at, l.id LIMIT t.most_running + {PASSED}) job
                WHERE t.most_running IS NOT NULL) AS running
        FROM limited t),
    now AS (
        INSERT INTO usage_counts (what, at) VALUES ('jobs', statement_timestamp())
        ON CONFLICT (what) DO UPDATE SET at = excluded.at),
    changed AS (
        INSERT INTO tenant_usage AS u (tenant, waiting, running)
        SELECT c.id, c.waiting, c.running
        FROM counted c LEFT JOIN tenant_usage before ON before.tenant = c.id
        WHERE (c.waiting, c.running) IS DISTINCT FROM (coalesce(before.waiting, 0), coalesce(before.running, 0))
        ON CONFLICT (tenant) DO UPDATE
        SET waiting = excluded.waiting, running = excluded.running, at = clock_timestamp()
        RETURNING true)
    SELECT count(*) FROM changed
    """,
)
_COUNT_BYTES = text("""
    WITH counted AS MATERIALIZED (SELECT tenant, sum(bytes)::bigint AS bytes FROM stored_bytes GROUP BY tenant),
    now AS (
        INSERT INTO usage_counts (what, at) VALUES ('bytes', statement_timestamp())
        ON CONFLICT (what) DO UPDATE SET at = excluded.at)
    INSERT INTO tenant_usage AS u (tenant, bytes)
    SELECT c.tenant, c.bytes FROM counted c LEFT JOIN tenant_usage before ON before.tenant = c.tenant
    WHERE c.bytes IS DISTINCT FROM coalesce(before.bytes, 0)
    ON CONFLICT (tenant) DO UPDATE SET bytes = excluded.bytes, at = clock_timestamp()
""")
# An API process writes the bytes of its last minute also after the end of their tenant.
_FORGET_REMOVED = text("DELETE FROM stored_bytes s WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = s.tenant)")
# Of hours to which no process adds rows any more, so that a tenant has one row an hour.
_ADD_UP = text("""
    WITH many AS (
        SELECT tenant, hour FROM stored_bytes WHERE hour < clock_timestamp() - interval '2 h'
        GROUP BY 1, 2 HAVING count(*) > 1),
    gone AS (
        DELETE FROM stored_bytes s USING many m WHERE s.tenant = m.tenant AND s.hour = m.hour
        RETURNING s.tenant, s.hour, s.bytes)
    INSERT INTO stored_bytes (tenant, hour, bytes) SELECT tenant, hour, sum(bytes) FROM gone GROUP BY 1, 2
""")


def count_jobs(connection: "WorkerConnection", default_waiting: int, default_running: int) -> None:
    """Count the jobs of the tenants that have a quota of them. Atomic.

    `default_waiting`, `default_running`: the quotas of tenants that have none of their own; 0: no limit.
    """
    defaults = default_waiting, default_running
    if connection.run(ANY_LIMITED, defaults)[0][0]:
        connection.run(COUNT_JOBS, defaults)


def count_bytes(connection: Connection) -> None:
    """Add up the bytes of each tenant. The caller commits."""
    connection.execute(_FORGET_REMOVED)
    connection.execute(_ADD_UP)
    connection.execute(_COUNT_BYTES)
