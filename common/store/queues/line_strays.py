"""Strays of single lines: beside a backlog of one tenant, jobs of others that every worker has passed by.

While workers claim by line, the lowest mark of a queue is that of the longest backlog. A job of another line may be
above it and yet below the mark of its own line, or of all lines without one of their own.
"""

from typing import TYPE_CHECKING

from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.connection.statement import Statement
from common.store.jobs.lines import OTHERS, next_band
from common.store.tenancy.line_index import LINE

if TYPE_CHECKING:  # the API does not import psycopg2
    from common.store.connection.psycopg2_session import WorkerConnection

# A worker that was just resumed has not yet published that the jobs of a tenant are above no mark.
RESUMED = "changed_at > now() - interval '1 min' AND created_at < now() - interval '1 min'"
#: The tenants whose jobs are not claimed, so that they are below all marks.
SUSPENDED = """
suspended AS MATERIALIZED (SELECT ARRAY(SELECT id FROM tenants WHERE state = 'SUSPENDED' {also}) AS ids)
"""
NOT_SUSPENDED = "l.tenant <> ALL ((SELECT ids FROM suspended)::integer[])"
# `of_all` stays true for a minute after a resume too, for the same reason; a queue of one tenant is its own.
#: The queues of which the jobs of some tenants are paused.
PAUSED = f"""
paused AS MATERIALIZED (
    SELECT queue, array_agg(tenant) AS tenants,
           bool_or(tenant = {ALL_TENANTS}) OR (SELECT count(*) FROM (SELECT FROM tenants LIMIT 2) t) < 2 AS of_all
    FROM queue_policies WHERE paused_at IS NOT NULL {{also}} GROUP BY queue)
"""
#: True if a band, or the row l of `queue`, is not paused.
NOT_PAUSED = "NOT EXISTS (SELECT FROM paused p WHERE p.queue = {queue} AND (p.of_all OR {tenant} = ANY (p.tenants)))"
#: As RESUMED, of the policy of a queue.
RESUMED_QUEUE = "changed_at > now() - interval '1 min'"

# A band that some worker lists is trusted to that worker, which claims and has it in its turns. The bands are found
# from one to the next, 15 us each. The marks are an object by tenant: a join would compare each band with each mark. A
# mark in the future is from before the clock was set back.
REQUEUE_LINE_STRAYS = Statement(
    "requeue_line_strays",
    "interval, bigint",
    f"""
    WITH RECURSIVE line_marks AS MATERIALIZED (
        SELECT q.key AS queue, p.key::smallint AS priority, t.key AS tenant, w.operations,
               max(t.value::timestamptz) AS claimable_at
        FROM (SELECT line_marks, operations FROM workers WHERE ended_at IS NULL AND line_marks <> '{{}}' OFFSET 0) w,
             jsonb_each(w.line_marks) q, jsonb_each(q.value) p, jsonb_each_text(p.value) t
        WHERE t.value::timestamptz <= now() GROUP BY 1, 2, 3, 4),
    marks AS MATERIALIZED (
        SELECT queue, priority, operations, jsonb_object_agg(tenant, claimable_at) AS of_tenant FROM line_marks
        GROUP BY 1, 2, 3),
    {SUSPENDED.format(also=f"OR ({RESUMED})")}, {PAUSED.format(also=f"OR {RESUMED_QUEUE}")},
    bands AS (
        SELECT q.queue, first.tenant, first.priority FROM (SELECT DISTINCT queue FROM marks) q
        CROSS JOIN LATERAL ({next_band("q.queue", "0", "-1")}) first
        UNION ALL
        SELECT bands.queue, next.tenant, next.priority FROM bands
        CROSS JOIN LATERAL ({next_band("bands.queue", "bands.tenant", "bands.priority")}) next),
    strays AS MATERIALIZED (
        SELECT stray.id
        FROM (SELECT * FROM bands WHERE {NOT_PAUSED.format(queue="bands.queue", tenant="bands.tenant")} OFFSET 0) bands
        JOIN marks m ON m.queue = bands.queue AND m.priority = bands.priority
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE {LINE.format(queue="bands.queue", tenant="bands.tenant")} AND l.priority = bands.priority
              AND l.worker IS NULL
              AND l.claimable_at < coalesce(m.of_tenant ->> bands.tenant::text, m.of_tenant ->> '{OTHERS}')::timestamptz
              AND l.claimable_at > coalesce(now() - $1, '-infinity') AND {NOT_SUSPENDED}
              AND (l.needs IS NULL OR l.needs = ANY (m.operations))
            ORDER BY l.claimable_at, l.id LIMIT $2 FOR UPDATE SKIP LOCKED) stray)
    UPDATE live SET claimable_at = clock_timestamp(), rev = rev + 1
    WHERE id = ANY (ARRAY(SELECT id FROM strays)) AND worker IS NULL
    RETURNING queue
    """,
)


def requeue_line_strays(connection: "WorkerConnection", since_s: float | None, limit: int) -> list[str]:
    """Requeue strays of single lines, as `requeue_strays` does those of whole queues; nothing to do unless workers
    claim by line.

    A band of which no worker has published a mark has the mark of all others. Requeues at most `limit` jobs a band.
    """
    return [row[0] for row in connection.run(REQUEUE_LINE_STRAYS, (None if since_s is None else f"{since_s} s", limit))]
