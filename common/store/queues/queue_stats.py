"""Statistics of the queues for GET /stats: depth, age, workers, and rates of the last minutes, of a tenant's jobs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from common.domain.job import first_job_id, job_unix_ms
from common.store.connection.statement import SET_QUEUE_STATS_PLANS
from common.store.queues import queue_state
from common.store.queues.queue_state import FRONTS, QUEUES
from common.store.tenancy.line_index import LINE
from common.store.tenancy.only_tenant import indexed, is_alone

WINDOW_S = 60  # for the rate of submissions
MINUTES = 20  # a worker whose lease ended before has finished nothing in the last fifteen
SAMPLE = 10_000  # newest jobs that are read for the rate
FINISHED_SAMPLE = 2_000  # newest jobs whose ends are counted, while other tenants have jobs too

# By the lines of the tenant: in `live_due` its jobs may be behind those of all others. PostgreSQL would take that index
# after an ANALYZE that has found one tenant, but for the order, which that index does not have.
_DEPTH = f"""
WITH {QUEUES}
SELECT k.queue, d.queued, d.running FROM known k
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE due.worker IS NULL) AS queued, count(due.worker) AS running
    FROM (SELECT job.worker FROM generate_series(0, 9) AS p(priority)
          CROSS JOIN LATERAL (
              SELECT l.worker FROM live l
              WHERE {LINE.format(queue="k.queue", tenant="$2")} AND l.priority = p.priority
                AND l.claimable_at <= now()
              ORDER BY l.claimable_at, l.id LIMIT $1) job
          LIMIT $1) due) d
"""
# Scanned from the marks on, as a claim does. Below them are dead entries, and strays, which are requeued within a tick.
_OLDEST_DUE = f"""
WITH {QUEUES}, {FRONTS}
SELECT k.queue, coalesce(extract(epoch FROM now() - oldest.claimable_at), 0)::float8
FROM known k
CROSS JOIN LATERAL (
    SELECT min(due.claimable_at) AS claimable_at
    FROM generate_series(0, 9) AS p(priority)
    LEFT JOIN fronts f ON f.queue = k.queue AND f.priority = p.priority
    CROSS JOIN LATERAL (
        SELECT l.claimable_at FROM live l
        WHERE {LINE.format(queue="k.queue", tenant="$1")} AND l.priority = p.priority AND l.worker IS NULL
          AND l.claimable_at >= coalesce(f.claimable_at, '-infinity') AND l.claimable_at <= now()
        ORDER BY l.claimable_at, l.id LIMIT 1) due) oldest
"""
# From the newest job back: at a high rate the sample spans less than the window.
_ARRIVED = """
WITH newest AS MATERIALIZED (
    SELECT id, queue FROM jobs WHERE tenant = $3{indexed} AND id >= $1 ORDER BY id DESC LIMIT $2)
SELECT queue, count(*), (SELECT count(*) FROM newest), (SELECT id FROM newest ORDER BY id LIMIT 1)
FROM newest GROUP BY 1
"""
# What worker processes have counted of all tenants together.
_FINISHED = """
SELECT q.key, m.key::bigint, sum((q.value ->> 0)::bigint)::bigint, sum((q.value ->> 1)::bigint)::bigint
FROM workers w, jsonb_each(w.finished_by_minute) m, jsonb_each(m.value) q
WHERE w.alive_until > now() - $1::interval GROUP BY 1, 2
"""
_FINISHED_OF_TENANT = """
WITH newest AS MATERIALIZED (SELECT id, queue FROM jobs WHERE tenant = $2{indexed} ORDER BY id DESC LIMIT $3)
SELECT n.queue, extract(epoch FROM date_trunc('minute', o.finished_at))::bigint / 60,
       count(*) FILTER (WHERE o.status = 'SUCCESS'), count(*) FILTER (WHERE o.status = 'FAILED')
FROM newest n
CROSS JOIN LATERAL (
    SELECT status, finished_at FROM outcomes
    WHERE outcomes.id = n.id AND outcomes.tenant = $2 ORDER BY run DESC LIMIT 1) o
WHERE o.finished_at > now() - $1::interval GROUP BY 1, 2
"""


@dataclass(slots=True)
class QueueStats:
    """Statistics of one queue."""

    queue: str
    queued: int
    running: int
    oldest_due_s: float
    workers_alive: int
    accepted_per_s: float = 0.0  #: submitted jobs a second
    finished: dict[int, tuple[int, int]] = field(default_factory=dict)  #: by Unix minute: succeeded, failed jobs


def oldest_due_s(connection: Connection, tenant: int) -> dict[str, float]:
    """Return, by queue, for how many seconds a tenant's oldest claimable job has been due; 0 if there is none.

    Each queue and priority is one look-up in an index. Needs the caller's transaction.
    """
    connection.exec_driver_sql(SET_QUEUE_STATS_PLANS)
    return {row[0]: row[1] for row in connection.exec_driver_sql(_OLDEST_DUE, (tenant,))}


def read(connection: Connection, tenant: int, count_limit: int, unix_ms: int) -> list[QueueStats]:
    """Return every queue of an operation or a living worker, in the caller's transaction.

    A tenant's jobs are counted up to `count_limit`. `unix_ms` is the present time.
    """
    oldest = oldest_due_s(connection, tenant)

    def rows(sql: str, *arguments: object) -> list[Any]:
        return list(connection.exec_driver_sql(sql, arguments))

    alive = dict(rows(queue_state.WORKERS_ALIVE.sql, timedelta()))
    depths = rows(_DEPTH, count_limit, tenant)
    stats = {
        queue: QueueStats(queue, queued, running, oldest.get(queue, 0.0), alive.get(queue, 0))
        for queue, queued, running in depths
    }
    for queue, count, sampled, first in rows(
        _ARRIVED.format(indexed=indexed(tenant)), first_job_id(unix_ms - WINDOW_S * 1000), SAMPLE, tenant
    ):
        span_s = WINDOW_S if sampled < SAMPLE else max(0.001, (unix_ms - job_unix_ms(first)) / 1000)
        if queue in stats:
            stats[queue].accepted_per_s = count / span_s
    for queue, minute, succeeded, failed in _finished(connection, tenant):
        if queue in stats:
            stats[queue].finished[minute] = succeeded, failed
    return [stats[queue] for queue in sorted(stats)]


def _finished(connection: Connection, tenant: int) -> Iterable[Any]:
    """Return queue, Unix minute, and numbers of succeeded and failed jobs; beside other tenants from a sample."""
    window = timedelta(minutes=MINUTES)
    if is_alone(connection):
        return connection.exec_driver_sql(_FINISHED, (window,))
    return connection.exec_driver_sql(
        _FINISHED_OF_TENANT.format(indexed=indexed(tenant)), (window, tenant, FINISHED_SAMPLE)
    )


def finished_per_s(finished: Mapping[int, tuple[int, int]], minutes: int, unix_s: float) -> tuple[float, float]:
    """Return succeeded and failed jobs a second over `minutes` whole minutes and the current one so far."""
    now = int(unix_s) // 60
    counts = [count for minute, count in finished.items() if now - minutes <= minute <= now]
    seconds = minutes * 60 + unix_s % 60
    return sum(succeeded for succeeded, _ in counts) / seconds, sum(failed for _, failed in counts) / seconds
