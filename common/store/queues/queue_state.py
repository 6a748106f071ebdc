"""State of the queues for the controller: due jobs, strays, unrunnable and starved jobs, depth."""

from typing import TYPE_CHECKING

from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.connection.statement import Statement
from common.store.jobs.limits.policy_claims import TOKENS
from common.store.queues.line_strays import (
    NOT_PAUSED,
    NOT_SUSPENDED,
    PAUSED,
    RESUMED,
    RESUMED_QUEUE,
    SUSPENDED,
)
from common.store.workers.fragments import LEASE_ALIVE

if TYPE_CHECKING:  # the worker does not import SQLAlchemy, nor the API psycopg2
    from sqlalchemy import Connection

    from common.store.connection.psycopg2_session import WorkerConnection


# The highest low-water mark of the living worker processes with the same operations, by queue and priority. A mark in
# the future is from before the clock was set back: it would hide due jobs, and make jobs claimable that are not due.
_MARKS = """
    SELECT q.key AS queue, p.key::smallint AS priority, w.operations, max(p.value::timestamptz) AS claimable_at
    FROM (SELECT low_water_marks, {operations} AS operations FROM workers WHERE ended_at IS NULL OFFSET 0) w,
         jsonb_each(w.low_water_marks) q, jsonb_each_text(q.value) p
    WHERE p.value::timestamptz <= now() GROUP BY 1, 2, 3
"""
# Grouped by a hash of the operations: with two hundred workers of forty operations each it takes 3 ms instead of 4.
# Marks that are not grouped by operations would take 1.5 ms.
_FRONTS_BY = f"""
fronts AS MATERIALIZED (
    SELECT queue, priority, {{extreme}}(claimable_at) AS claimable_at
    FROM ({_MARKS.format(operations="hash_array_extended(operations, 0)")}) marks GROUP BY 1, 2)
"""
#: The lowest mark of any kind of worker: above it there may be jobs that other kinds have skipped and it can claim.
FRONTS = _FRONTS_BY.format(extreme="min")
_FURTHEST = _FRONTS_BY.format(extreme="max")

# The jobs of suspended tenants wait below the marks for as long as these are suspended: no worker is to come for them.
_SUSPENDED = SUSPENDED.format(also="")

# Queue names come from operations and workers, not from `live`: there, a queue's first row may be behind a million dead
# ones.
QUEUES = """
known AS MATERIALIZED (
    SELECT queue FROM operations UNION SELECT unnest(queues) FROM workers WHERE ended_at IS NULL)
"""

# `held`: the tenants of the queue whose jobs nobody claims. Joined once a queue, so that no row asks for them.
_CLAIMABLE = f"""
{QUEUES}, {_SUSPENDED}, {PAUSED.format(also="")},
claimable AS MATERIALIZED (
    SELECT k.queue, coalesce(p.of_all, false) AS is_paused,
           coalesce(p.tenants, '{{}}') || (SELECT ids FROM suspended) AS held
    FROM known k LEFT JOIN paused p ON p.queue = k.queue)
"""
# More workers would not run what waits for a slot or a token. A limit of one tenant among several says nothing of the
# others' jobs.
_LIMITS = f"""
limits AS MATERIALIZED (
    SELECT p.queue, min(p.concurrency) AS at_once, min(ceil({TOKENS} + p.rate)) AS soon FROM queue_policies p
    WHERE p.in_force
      AND (p.tenant = {ALL_TENANTS} OR (SELECT count(*) FROM (SELECT FROM tenants LIMIT 2) t) < 2) GROUP BY p.queue)
"""
_NOT_HELD = "NOT k.is_paused AND l.tenant <> ALL (k.held)"

# The operations that the workers of a queue can run. A queue without workers has no row.
_RUNNABLE = """
kinds AS MATERIALIZED (SELECT DISTINCT queues, operations FROM workers WHERE ended_at IS NULL),
runnable AS MATERIALIZED (
    SELECT queue, array_agg(DISTINCT operation) AS operations
    FROM kinds, unnest(queues) AS queue, unnest(operations) AS operation GROUP BY 1)
"""

DUE = Statement(
    "due_queues",
    "int",
    f"""
    WITH {_CLAIMABLE}, {_RUNNABLE}, {FRONTS}
    SELECT k.queue FROM claimable k LEFT JOIN runnable ON runnable.queue = k.queue
    WHERE EXISTS (
        SELECT FROM generate_series(0, $1) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.claimable_at >= coalesce(f.claimable_at, '-infinity') AND l.claimable_at <= now()
              AND (l.needs IS NULL OR runnable.operations IS NULL OR l.needs = ANY (runnable.operations))
              AND {_NOT_HELD}
            LIMIT 1) due)
    """,
)

REQUEUE_STRAYS = Statement(
    "requeue_strays",
    "interval, bigint",
    f"""
    WITH fronts AS MATERIALIZED ({_MARKS.format(operations="operations")}), {SUSPENDED.format(also=f"OR ({RESUMED})")},
    {PAUSED.format(also=f"OR {RESUMED_QUEUE}")},
    strays AS MATERIALIZED (
        SELECT stray.id FROM fronts f
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE l.queue = f.queue AND l.priority = f.priority AND l.worker IS NULL
              AND l.claimable_at < f.claimable_at AND l.claimable_at > coalesce(now() - $1, '-infinity')
              AND (l.needs IS NULL OR l.needs = ANY (f.operations)) AND {NOT_SUSPENDED}
              AND {NOT_PAUSED.format(queue="f.queue", tenant="l.tenant")}
            ORDER BY l.claimable_at, l.id LIMIT $2 FOR UPDATE SKIP LOCKED) stray)
    UPDATE live SET claimable_at = clock_timestamp(), rev = rev + 1
    WHERE id = ANY (ARRAY(SELECT id FROM strays)) AND worker IS NULL
    RETURNING queue
    """,
)

# Due jobs below every mark are strays, which are requeued, or jobs that no worker of the queue can run.
UNRUNNABLE = Statement(
    "unrunnable_jobs",
    "bigint",
    f"""
    WITH {_RUNNABLE}, {_FURTHEST}
    SELECT runnable.queue, sum(counted.count)::bigint FROM runnable LEFT JOIN fronts f ON f.queue = runnable.queue
    CROSS JOIN LATERAL (
        SELECT count(*) FROM (
            SELECT FROM live l
            WHERE l.queue = f.queue AND l.priority = f.priority AND l.worker IS NULL
              AND l.claimable_at < f.claimable_at AND l.needs IS NOT NULL AND NOT l.needs = ANY (runnable.operations)
            LIMIT $1) job) counted
    GROUP BY 1
    """,
)

# A raised job gets a new `claimable_at`, because the marks of priority 0 may be past its old one. Within a priority,
# raised jobs stay in the order in which they have waited.
RAISE_STARVED = Statement(
    "raise_starved",
    "float8, bigint",
    f"""
    WITH {_CLAIMABLE}, {FRONTS},
    starved AS MATERIALIZED (
        SELECT job.id FROM claimable k CROSS JOIN generate_series(1, 9) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.claimable_at >= coalesce(f.claimable_at, '-infinity')
              AND l.claimable_at < now() - $1 * interval '1 s' AND {_NOT_HELD}
            ORDER BY l.claimable_at, l.id LIMIT $2 FOR UPDATE SKIP LOCKED) job)
    UPDATE live SET priority = 0, claimable_at = clock_timestamp(), rev = rev + 1
    WHERE id = ANY (ARRAY(SELECT id FROM starved)) AND worker IS NULL
    RETURNING queue
    """,
)

DEPTH = Statement(
    "depth",
    "bigint",
    f"""
    WITH {_CLAIMABLE}, {_LIMITS}
    SELECT k.queue, greatest(0, least(d.queued, s.at_once - d.running, s.soon::bigint)), d.running
    FROM claimable k LEFT JOIN limits s ON s.queue = k.queue
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE due.worker IS NULL AND NOT k.is_paused) AS queued, count(due.worker) AS running
        FROM (SELECT l.worker FROM live l
              WHERE l.queue = k.queue AND l.claimable_at <= now()
                AND (l.worker IS NOT NULL OR k.is_paused OR l.tenant <> ALL (k.held))
              LIMIT $1) due) d
    """,
)

# Not `= infinity`: that is the predicate of the index live_parked, which begins with the key.
PARKED = Statement(
    "parked_jobs",
    "bigint",
    f"""
    WITH {QUEUES}
    SELECT k.queue, d.jobs - d.limited, d.limited FROM known k
    CROSS JOIN LATERAL (
        SELECT count(*) AS jobs, count(concurrency_key) AS limited
        FROM (SELECT concurrency_key FROM generate_series(0, 9) AS p(priority)
              CROSS JOIN LATERAL (
                  SELECT l.concurrency_key FROM live l
                  WHERE l.queue = k.queue AND l.priority = p.priority AND l.claimable_at >= 'infinity'
                    AND l.due_since IS NOT NULL
                  LIMIT $1) job
              LIMIT $1) jobs) d
    """,
)

# Scanned from the marks on, as a claim does. Below them are dead entries, and strays, which are requeued within a tick.
OLDEST_DUE = Statement(
    "oldest_due",
    "int",
    f"""
    WITH {_CLAIMABLE}, {FRONTS}
    SELECT k.queue, coalesce(extract(epoch FROM now() - oldest.claimable_at), 0)::float8
    FROM claimable k
    CROSS JOIN LATERAL (
        SELECT min(due.claimable_at) AS claimable_at
        FROM generate_series(0, $1) AS p(priority)
        LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
        CROSS JOIN LATERAL (
            SELECT l.claimable_at FROM live l
            WHERE l.queue = k.queue AND l.priority = p.priority AND l.worker IS NULL
              AND l.claimable_at >= coalesce(f.claimable_at, '-infinity') AND l.claimable_at <= now()
              AND {_NOT_HELD}
            ORDER BY l.claimable_at LIMIT 1) due) oldest
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


_WORKERS_BY_OPERATION = f"""
SELECT queue, operation, count(*) FROM workers w, unnest(w.queues) AS queue, unnest(w.operations) AS operation
WHERE {LEASE_ALIVE} GROUP BY 1, 2
"""


def due_queues(connection: "WorkerConnection") -> list[str]:
    """Return the queues with a due job that a worker of the queue can run, or with any due job if it has no workers."""
    return [row[0] for row in connection.run(DUE, (9,))]


def requeue_strays(connection: "WorkerConnection", since_s: float | None, limit: int) -> list[str]:
    """Requeue strays: move them above the low-water marks. Return their queues, one entry a job.

    A stray is an unclaimed due row below the highest mark of the workers that could run it, in its queue and priority.
    Its claim was rolled back, its insert took longer than the slack to commit, or the clock was set back. A waiting
    backlog is above every mark and is not changed. Scans the last `since_s` seconds (None: everything), and requeues at
    most `limit` jobs a queue and priority.
    """
    return [row[0] for row in connection.run(REQUEUE_STRAYS, (None if since_s is None else f"{since_s} s", limit))]


def raise_starved(connection: "WorkerConnection", waited_s: float, limit: int) -> list[str]:
    """Give priority 0 to jobs that have been due for `waited_s` seconds, at most `limit` a queue and priority.

    Return their queues, one entry a job.
    """
    return [row[0] for row in connection.run(RAISE_STARVED, (waited_s, limit))]


def unrunnable(connection: "WorkerConnection", count_limit: int) -> dict[str, int]:
    """Return, by queue with living workers, the number of due jobs that none of them can run.

    At most `count_limit` are counted of each priority.
    """
    return {row[0]: row[1] for row in connection.run(UNRUNNABLE, (count_limit,))}


def depth(connection: "WorkerConnection", count_limit: int) -> dict[str, tuple[int, int]]:
    """Return, by queue, the numbers of waiting due jobs and of running jobs, counted up to `count_limit` together.

    Without waiting jobs that a pause or a limit keeps from starting.
    """
    return {row[0]: (row[1], row[2]) for row in connection.run(DEPTH, (count_limit,))}


def parked(connection: "WorkerConnection", count_limit: int) -> dict[str, tuple[int, int]]:
    """Return, by queue, the numbers of jobs that wait for their unique key, and for their concurrency key.

    Counted up to `count_limit` together.
    """
    return {row[0]: (row[1], row[2]) for row in connection.run(PARKED, (count_limit,))}


def oldest_due_s(connection: "WorkerConnection") -> dict[str, float]:
    """Return, by queue, for how many seconds the oldest claimable job has been due; 0 if there is none."""
    return {row[0]: row[1] for row in connection.run(OLDEST_DUE, (9,))}


def workers_alive(connection: "WorkerConnection") -> dict[str, int]:
    """Return, by queue, the number of worker processes with a lease that serve it, without queues that have none."""
    return {row[0]: row[1] for row in connection.run(WORKERS_ALIVE, ("0 s",))}


def workers_by_operation(connection: "Connection") -> dict[tuple[str, str], int]:
    """Return, by queue and operation, the number of worker processes with a lease."""
    return {(row[0], row[1]): row[2] for row in connection.exec_driver_sql(_WORKERS_BY_OPERATION)}
