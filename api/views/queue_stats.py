"""How the queues are, read at most once a second however many ask."""

import time
from functools import partial

from api.schemas import QueueStatsView, QueueView, RatesView
from api.web.ttl_cache import TtlCache
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.queues import queue_stats
from common.store.queues.queue_stats import QueueStats, finished_per_s

CACHE_S = 1.0


def queue_stats_cache(settings: Settings, pool: DatabasePool) -> TtlCache[QueueStatsView]:
    """Return how the queues are, at most a second old."""

    async def ask() -> QueueStatsView:
        """Read it."""
        now = time.time()
        found = await pool.run_sync(partial(queue_stats.read, count_limit=settings.gauge_cap_jobs, unix_ms=int(now * 1000)))
        return QueueStatsView(queues=[_queue_view(one, now) for one in found])

    return TtlCache(ask, CACHE_S)


def _queue_view(one: QueueStats, now: float) -> QueueView:
    (good1, bad1), (good5, bad5), (good15, bad15) = (finished_per_s(one.finished, minutes, now) for minutes in (1, 5, 15))
    return QueueView(
        queue=one.queue,
        queued=one.queued,
        running=one.running,
        oldest_due_seconds=one.oldest_due_s,
        workers_alive=one.workers_alive,
        accepted_per_second=one.accepted_per_s,
        succeeded_per_second=RatesView(last_minute=good1, last_5_minutes=good5, last_15_minutes=good15),
        failed_per_second=RatesView(last_minute=bad1, last_5_minutes=bad5, last_15_minutes=bad15),
    )
