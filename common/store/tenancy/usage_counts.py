"""Counts of what tenants use, by the leading controller: their jobs once a second, their bytes once a minute."""

from sqlalchemy import Connection, text

_IS_LIMITED = "(:everyone OR num_nonnulls(max_waiting_jobs, max_running_jobs) > 0)"
_ANY_LIMITED = text(f"SELECT EXISTS (SELECT FROM tenants WHERE {_IS_LIMITED})")
# Reads `live` once for all tenants. With an index that begins with the tenant, each could be counted up to its limit.
# Tenants that have no row and no jobs get none.
_COUNT_JOBS = text(f"""
    WITH counted AS MATERIALIZED (
        SELECT tenant, count(*) FILTER (WHERE worker IS NULL) AS waiting, count(worker) AS running
        FROM live GROUP BY tenant),
    now AS (
        INSERT INTO usage_counts (what, at) VALUES ('jobs', statement_timestamp())
        ON CONFLICT (what) DO UPDATE SET at = excluded.at)
    INSERT INTO tenant_usage AS u (tenant, waiting, running)
    SELECT t.id, coalesce(c.waiting, 0), coalesce(c.running, 0)
    FROM tenants t LEFT JOIN counted c ON c.tenant = t.id LEFT JOIN tenant_usage before ON before.tenant = t.id
    WHERE {_IS_LIMITED} AND (coalesce(c.waiting, 0), coalesce(c.running, 0))
          IS DISTINCT FROM (coalesce(before.waiting, 0), coalesce(before.running, 0))
    ON CONFLICT (tenant) DO UPDATE
    SET waiting = excluded.waiting, running = excluded.running, at = clock_timestamp()
""")
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


def count_jobs(connection: Connection, *, everyone: bool) -> None:
    """Count the jobs of the tenants that have a quota of them, or of everyone. The caller commits."""
    if connection.execute(_ANY_LIMITED, {"everyone": everyone}).scalar_one():
        connection.execute(_COUNT_JOBS, {"everyone": everyone})


def count_bytes(connection: Connection) -> None:
    """Add up the bytes of each tenant. The caller commits."""
    connection.execute(_FORGET_REMOVED)
    connection.execute(_ADD_UP)
    connection.execute(_COUNT_BYTES)
