"""How the queues are, read at most once a second however many ask."""

import time
from functools import partial

from api.schemas import QueueView, Rates, Stats
from api.web.ttl_cache import Kept
from common.settings import Settings
from common.store.connection.asyncpg_pool import Pool
from common.store.queues import queue_stats
from common.store.queues.queue_stats import QueueStats, finished_s

FRESH_S = 1.0


def queues(settings: Settings, pool: Pool) -> Kept[Stats]:
    """Return how the queues are, at most a second old."""

    async def ask() -> Stats:
        """Read it."""
        now = time.time()
        found = await pool.run_sync(partial(queue_stats.read, cap=settings.gauge_cap_jobs, unix_ms=int(now * 1000)))
        return Stats(queues=[_view(one, now) for one in found])

    return Kept(ask, FRESH_S)


def _view(one: QueueStats, now: float) -> QueueView:
    (good1, bad1), (good5, bad5), (good15, bad15) = (finished_s(one.finished, minutes, now) for minutes in (1, 5, 15))
    return QueueView(
        queue=one.queue,
        queued=one.queued,
        running=one.running,
        oldest_due_seconds=one.oldest_due_s,
        workers_alive=one.workers_alive,
        accepted_per_second=one.arrived_s,
        succeeded_per_second=Rates(last_minute=good1, last_5_minutes=good5, last_15_minutes=good15),
        failed_per_second=Rates(last_minute=bad1, last_5_minutes=bad5, last_15_minutes=bad15),
    )
