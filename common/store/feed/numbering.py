"""Gives recorded changes their numbers: one order for every reader of a tenant's feed, without gaps.

Each reader numbers them before it reads, and the controller each tick. Under the lock of the feed's row a statement of
its own sees what has been committed until then, and gives it the next numbers; what commits later gets later numbers. A
change is recorded while its transaction has the lock of the job's row, so the ids of a job's changes are in their
order, and a statement that sees one of them sees those before it.
"""

from typing import TYPE_CHECKING

from common import failpoints
from common.store.connection.caller import set_caller
from common.store.connection.statement import Statement

if TYPE_CHECKING:  # the API does not import psycopg2, and the controller not asyncpg
    import asyncpg

    from common.store.connection.psycopg2_session import WorkerConnection

MAX_PAGE_CHANGES = 1_000  #: changes that are numbered at once, and stored in a row
CREATE = Statement(
    "feed_create", "int", "INSERT INTO feeds (tenant) VALUES ($1) ON CONFLICT (tenant) DO NOTHING RETURNING tenant"
)
LOCK = Statement("feed_lock", "int", "SELECT last_number FROM feeds WHERE tenant = $1 FOR UPDATE")
_AT = """to_char({at} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
# A job or an outcome that is gone was deleted by an operator: controllers number before they delete.
NUMBER = Statement(
    "feed_number",
    "int, bigint, bigint",
    f"""
    WITH fresh AS MATERIALIZED (
        SELECT * FROM feed_changes WHERE tenant = $1 ORDER BY id LIMIT $3),
    gone AS (
        DELETE FROM feed_changes WHERE tenant = $1 AND id = ANY (ARRAY(SELECT id FROM fresh))),
    page AS MATERIALIZED (
        SELECT count(*) AS count, json_agg(json_build_object(
            'job_id', f.job, 'queue', f.queue, 'operation', j.operation, 'tags', coalesce(j.tags, '{{}}'),
            'status', coalesce(f.status, o.status), 'run', f.run, 'attempt', coalesce(o.attempt, f.attempt),
            'revision', coalesce(o.rev, f.rev), 'due_at', {_AT.format(at="f.due_at")}, 'parked', f.parked,
            'at', {_AT.format(at="f.at")}) ORDER BY f.id) AS changes
        FROM fresh f
        LEFT JOIN LATERAL (
            SELECT operation, tags FROM jobs WHERE jobs.id = f.job AND jobs.tenant = $1 OFFSET 0) j ON true
        LEFT JOIN LATERAL (
            SELECT status, attempt, rev FROM outcomes
            WHERE f.status IS NULL AND outcomes.id = f.job AND outcomes.run = f.run AND outcomes.tenant = $1
            OFFSET 0) o ON true),
    stored AS (
        INSERT INTO feed_pages (tenant, first_number, last_number, changes)
        SELECT $1, $2 + 1, $2 + page.count, page.changes FROM page WHERE page.count > 0
        RETURNING last_number)
    UPDATE feeds SET last_number = stored.last_number FROM stored, page
    WHERE feeds.tenant = $1 RETURNING feeds.last_number, page.count
    """,
)
#: CTE: the tenants with changes that have no number. An entry of the index each.
WAITING_TENANTS = """WITH RECURSIVE waiting AS (
        (SELECT tenant FROM feed_changes ORDER BY tenant LIMIT 1)
        UNION ALL
        SELECT (SELECT c.tenant FROM feed_changes c WHERE c.tenant > waiting.tenant ORDER BY c.tenant LIMIT 1)
        FROM waiting WHERE waiting.tenant IS NOT NULL)"""
TENANTS = Statement(
    "feed_tenants", "bigint", f"{WAITING_TENANTS} SELECT tenant FROM waiting WHERE tenant IS NOT NULL LIMIT $1"
)


async def number(connection: "asyncpg.Connection", tenant: int) -> tuple[int, int]:
    """Number a tenant's next changes. Return the last number of its feed, and how many changes got one."""
    async with connection.transaction():
        await connection.execute(f"SELECT {set_caller([tenant])}")
        last = await connection.fetchval(LOCK.sql, tenant)
        if last is None:
            await connection.fetchrow(CREATE.sql, tenant)
            last = await connection.fetchval(LOCK.sql, tenant)
        page = await connection.fetchrow(NUMBER.sql, tenant, last, MAX_PAGE_CHANGES)
    return (last, 0) if page is None else (page[0], page[1])


def tenants(connection: "WorkerConnection", limit: int) -> list[int]:
    """Return tenants with changes that have no number, at most `limit`."""
    return [row[0] for row in connection.run(TENANTS, (limit,))]


def number_of_controller(connection: "WorkerConnection", tenant: int) -> int:
    """Number a tenant's next changes; return how many."""
    with connection.transaction():
        rows = connection.run(LOCK, (tenant,))
        if not rows:
            connection.run(CREATE, (tenant,))
            rows = connection.run(LOCK, (tenant,))
        page = connection.run(NUMBER, (tenant, rows[0][0], MAX_PAGE_CHANGES))
        failpoints.reach("feed_number.before_commit")
    return page[0][1] if page else 0
