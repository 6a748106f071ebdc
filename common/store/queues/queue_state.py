"""Queues as the controller sees them: which have due work, what lies below the low water, how deep they are."""

from typing import TYPE_CHECKING

from common.store.connection.statement import Statement

if TYPE_CHECKING:  # the worker does without SQLAlchemy, the API without psycopg2
    from sqlalchemy import Connection

    from common.store.connection.psycopg2_session import WorkerConnection


# The furthest that living workers of the same knowledge have looked, by queue and priority. A mark that lies ahead is from before the
# clock was set back: it would hide what is due, and end the pause of what is not.
_MARKS = """
    SELECT q.key AS queue, p.key::smallint AS priority, w.knowledge, max(p.value::timestamptz) AS pos
    FROM (SELECT low, {knowledge} AS knowledge FROM workers WHERE ended_at IS NULL OFFSET 0) w, jsonb_each(w.low) q, jsonb_each_text(q.value) p
    WHERE p.value::timestamptz <= now() GROUP BY 1, 2, 3
"""
# By a hash of it: with two hundred workers that know forty operations each it takes 3 ms instead of 4; the marks of all together take 1.5.
_FRONTS_BY = f"""
fronts AS MATERIALIZED (
    SELECT queue, priority, {{far}}(pos) AS pos FROM ({_MARKS.format(knowledge="hash_array_extended(operations, 0)")}) looked GROUP BY 1, 2)
"""
FRONTS = _FRONTS_BY.format(far="min")  # beyond it there is what somebody has yet to find
_FURTHEST = _FRONTS_BY.format(far="max")

# Queues are known from operations and workers and not from `live`: the first row of a queue may lie behind a million dead ones.
_QUEUES = """
known AS MATERIALIZED (
    SELECT queue FROM operations UNION SELECT unnest(queues) FROM workers WHERE ended_at IS NULL)
"""

# What the workers of a queue can run; a queue without workers is not there.
_RUNNABLE = """
kinds AS MATERIALIZED (SELECT DISTINCT queues, operations FROM workers WHERE ended_at IS NULL),
knowledge AS MATERIALIZED (
    SELECT queue, array_agg(DISTINCT operation) AS operations
    FROM kinds, unnest(queues) AS queue, unnest(operations) AS operation GROUP BY 1)
"""

DUE = Statement(
    "due_queues",
    "int",
    f"""
    WITH {_QUEUES}, {_RUNNABLE}, {FRONTS}
    SELECT k.queue FROM known k LEFT JOIN knowledge ON knowledge.queue = k.queue
    WHERE EXISTS (
        SELECT FROM generate_series(0, $1) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.pos >= coalesce(f.pos, '-infinity') AND l.pos <= now()
              AND (l.needs IS NULL OR knowledge.operations IS NULL OR l.needs = ANY (knowledge.operations))
            LIMIT 1) one)
    """,
)

REQUEUE_STRAYS = Statement(
    "float_strays",
    "interval, bigint",
    f"""
    WITH fronts AS MATERIALIZED ({_MARKS.format(knowledge="operations")}),
    strays AS MATERIALIZED (
        SELECT one.id FROM fronts f
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE l.queue = f.queue AND l.priority = f.priority AND l.worker IS NULL
              AND l.pos < f.pos AND l.pos > coalesce(now() - $1, '-infinity')
              AND (l.needs IS NULL OR l.needs = ANY (f.knowledge))
            ORDER BY l.pos, l.id LIMIT $2 FOR UPDATE SKIP LOCKED) one)
    UPDATE live SET pos = clock_timestamp(), rev = rev + 1 WHERE id = ANY (ARRAY(SELECT id FROM strays)) AND worker IS NULL
    RETURNING queue
    """,
)

# Below the marks there is what everybody has passed by: strays, which are floated, and what no worker of the queue can run.
UNRUNNABLE = Statement(
    "unknown_jobs",
    "bigint",
    f"""
    WITH {_RUNNABLE}, {_FURTHEST}
    SELECT knowledge.queue, sum(found.count)::bigint FROM knowledge LEFT JOIN fronts f ON f.queue = knowledge.queue
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM live l
            WHERE l.queue = f.queue AND l.priority = f.priority AND l.worker IS NULL
              AND l.pos < f.pos AND l.needs IS NOT NULL AND NOT l.needs = ANY (knowledge.operations)
            LIMIT $1) one) found
    GROUP BY 1
    """,
)

# Its place is new, for those at the front of priority 0 have been passed already; within a priority the order stays that of their waiting.
RAISE_STARVED = Statement(
    "raise_starved",
    "float8, bigint",
    f"""
    WITH {_QUEUES}, {FRONTS},
    starved AS MATERIALIZED (
        SELECT one.id FROM known k CROSS JOIN generate_series(1, 9) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.pos >= coalesce(f.pos, '-infinity') AND l.pos < now() - $1 * interval '1 s'
            ORDER BY l.pos, l.id LIMIT $2 FOR UPDATE SKIP LOCKED) one)
    UPDATE live SET priority = 0, pos = clock_timestamp(), rev = rev + 1 WHERE id = ANY (ARRAY(SELECT id FROM starved)) AND worker IS NULL
    RETURNING queue
    """,
)

DEPTH = Statement(
    "depth",
    "bigint",
    f"""
    WITH {_QUEUES}
    SELECT k.queue, d.queued, d.running FROM known k
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE one.worker IS NULL) AS queued, count(one.worker) AS running
        FROM (SELECT l.worker FROM live l WHERE l.queue = k.queue AND l.pos <= now() LIMIT $1) one) d
    """,
)

# From the marks on, as a claim looks: what lies left of them is dead, or a stray that is floated within a tick.
OLDEST_DUE = Statement(
    "oldest_due",
    "int",
    f"""
    WITH {_QUEUES}, {FRONTS}
    SELECT k.queue, coalesce(extract(epoch FROM now() - oldest.pos), 0)::float8
    FROM known k
    CROSS JOIN LATERAL (
        SELECT min(one.pos) AS pos
        FROM generate_series(0, $1) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT l.pos FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.pos >= coalesce(f.pos, '-infinity') AND l.pos <= now()
            ORDER BY l.pos LIMIT 1) one) oldest
    """,
)

WORKERS_ALIVE = Statement(
    "workers_alive",
    "interval",
    """
    SELECT queue, count(*) FROM workers, unnest(queues) AS queue
    WHERE ended_at IS NULL AND alive_until > clock_timestamp() - $1::interval GROUP BY 1
    """,
)


_WORKERS_BY_OPERATION = """
SELECT queue, operation, count(*) FROM workers, unnest(queues) AS queue, unnest(operations) AS operation
WHERE ended_at IS NULL AND alive_until > clock_timestamp() GROUP BY 1, 2
"""


def due_queues(connection: "WorkerConnection") -> list[str]:
    """Return the queues in which a job waits that may be claimed now, by one of its workers if it has any."""
    return [row[0] for row in connection.run(DUE, (9,))]


def requeue_strays(connection: "WorkerConnection", since_s: float | None, limit: int) -> list[str]:
    """Make jobs claimable again that every worker has passed by; returns their queues, one entry a job.

    A stray is an unclaimed due row below the highest mark of those who could run it, in its queue and priority: a claim rolled back, an insert that
    took longer than the slack to commit, a clock set back. A waiting backlog lies above every mark and is not touched.
    Looks at the last `since_s` seconds, at everything when None; at most `most` jobs a queue and priority.
    """
    return [row[0] for row in connection.run(REQUEUE_STRAYS, (None if since_s is None else f"{since_s} s", limit))]


def raise_starved(connection: "WorkerConnection", waited_s: float, limit: int) -> list[str]:
    """Give jobs that have been due for so long priority 0, at most so many a queue and priority; returns their queues, one entry a job."""
    return [row[0] for row in connection.run(RAISE_STARVED, (waited_s, limit))]


def unrunnable(connection: "WorkerConnection", count_limit: int) -> dict[str, int]:
    """Return, by queue with living workers, how many due jobs none of them can run; of each priority no more than cap are counted."""
    return {row[0]: row[1] for row in connection.run(UNRUNNABLE, (count_limit,))}


def depth(connection: "WorkerConnection", count_limit: int) -> dict[str, tuple[int, int]]:
    """Return, by queue, how many due jobs wait and how many run; together no more than cap are counted."""
    return {row[0]: (row[1], row[2]) for row in connection.run(DEPTH, (count_limit,))}


def oldest_due_s(connection: "WorkerConnection") -> dict[str, float]:
    """Return, by queue, for how many seconds the oldest job that may be claimed now has been due; 0 when there is none."""
    return {row[0]: row[1] for row in connection.run(OLDEST_DUE, (9,))}


def workers_alive(connection: "WorkerConnection") -> dict[str, int]:
    """Return, by queue, the worker processes with a lease that serve it; a queue that has none is left out."""
    return {row[0]: row[1] for row in connection.run(WORKERS_ALIVE, ("0 s",))}


def workers_by_operation(connection: "Connection") -> dict[tuple[str, str], int]:
    """Return, by queue and what they know, the worker processes with a lease."""
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(_WORKERS_BY_OPERATION)}
