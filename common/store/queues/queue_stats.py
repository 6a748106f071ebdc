"""Statistics of the queues for GET /stats: depth, age, workers, and rates of the last minutes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from common.domain.job import first_job_id, job_unix_ms
from common.store.connection.statement import SET_QUEUE_STATS_PLANS
from common.store.queues import queue_state

WINDOW_S = 60  # for the rate of submissions
MINUTES = 20  # a worker whose lease ended before has finished nothing in the last fifteen
SAMPLE = 10_000  # newest jobs that are read for the rate

# From the newest job back: at a high rate the sample spans less than the window.
_ARRIVED = """
WITH newest AS MATERIALIZED (SELECT id, queue FROM jobs WHERE id >= $1 ORDER BY id DESC LIMIT $2)
SELECT queue, count(*), (SELECT count(*) FROM newest), (SELECT id FROM newest ORDER BY id LIMIT 1)
FROM newest GROUP BY 1
"""

_FINISHED = """
SELECT q.key, m.key::bigint, sum((q.value ->> 0)::bigint)::bigint, sum((q.value ->> 1)::bigint)::bigint
FROM workers w, jsonb_each(w.finished_by_minute) m, jsonb_each(m.value) q
WHERE w.alive_until > now() - $1::interval GROUP BY 1, 2
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


def oldest_due_s(connection: Connection) -> dict[str, float]:
    """Return, by queue, for how many seconds its oldest claimable job has been due; 0 if there is none.

    Each queue and priority is one look-up in an index. Needs a transaction of the caller.
    """
    connection.exec_driver_sql(SET_QUEUE_STATS_PLANS)
    return {row[0]: row[1] for row in connection.exec_driver_sql(queue_state.OLDEST_DUE.sql, (9,))}


def read(connection: Connection, count_limit: int, unix_ms: int) -> list[QueueStats]:
    """Return every queue of an operation or a living worker, in the caller's transaction.

    Jobs are counted up to `count_limit`. `unix_ms` is the present time.
    """
    oldest = oldest_due_s(connection)

    def rows(sql: str, *arguments: object) -> list[Any]:
        return list(connection.exec_driver_sql(sql, arguments))

    alive = dict(rows(queue_state.WORKERS_ALIVE.sql, timedelta()))
    depths = rows(queue_state.DEPTH.sql, count_limit)
    stats = {
        queue: QueueStats(queue, queued, running, oldest.get(queue, 0.0), alive.get(queue, 0))
        for queue, queued, running in depths
    }
    for queue, count, sampled, first in rows(_ARRIVED, first_job_id(unix_ms - WINDOW_S * 1000), SAMPLE):
        span_s = WINDOW_S if sampled < SAMPLE else max(0.001, (unix_ms - job_unix_ms(first)) / 1000)
        if queue in stats:
            stats[queue].accepted_per_s = count / span_s
    for queue, minute, succeeded, failed in rows(_FINISHED, timedelta(minutes=MINUTES)):
        if queue in stats:
            stats[queue].finished[minute] = succeeded, failed
    return [stats[queue] for queue in sorted(stats)]


def finished_per_s(finished: Mapping[int, tuple[int, int]], minutes: int, unix_s: float) -> tuple[float, float]:
    """Return succeeded and failed jobs a second over `minutes` whole minutes and the current one so far."""
    now = int(unix_s) // 60
    counts = [count for minute, count in finished.items() if now - minutes <= minute <= now]
    seconds = minutes * 60 + unix_s % 60
    return sum(succeeded for succeeded, _ in counts) / seconds, sum(failed for _, failed in counts) / seconds
