"""The statistics of all queues, cached for a second for each tenant."""

import time
from functools import partial

from api.schemas import QueueStatsView, QueueView, RatesView
from api.web.ttl_cache import TenantCache
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.queues import queue_stats
from common.store.queues.queue_stats import QueueStats, finished_per_s

CACHE_S = 1.0


def queue_stats_cache(settings: Settings, pool: DatabasePool) -> TenantCache[QueueStatsView]:
    """Return a cache of the statistics, which reads those of a tenant at most once a second."""

    async def load(tenant: int) -> QueueStatsView:
        """Read the statistics of a tenant's jobs from the database."""
        now = time.time()
        queues = await pool.run_sync(
            partial(queue_stats.read, tenant=tenant, count_limit=settings.queue_count_limit, unix_ms=int(now * 1000)),
            Lane.EXPENSIVE,
            tenant=tenant,
        )
        return QueueStatsView(queues=[_queue_view(queue, now) for queue in queues])

    return TenantCache(load, CACHE_S)


def _queue_view(queue: QueueStats, now: float) -> QueueView:
    (succeeded1, failed1), (succeeded5, failed5), (succeeded15, failed15) = (
        finished_per_s(queue.finished, minutes, now) for minutes in (1, 5, 15)
    )
    return QueueView(
        queue=queue.queue,
        queued=queue.queued,
        running=queue.running,
        oldest_due_seconds=queue.oldest_due_s,
        workers_alive=queue.workers_alive,
        accepted_per_second=queue.accepted_per_s,
        succeeded_per_second=RatesView(last_minute=succeeded1, last_5_minutes=succeeded5, last_15_minutes=succeeded15),
        failed_per_second=RatesView(last_minute=failed1, last_5_minutes=failed5, last_15_minutes=failed15),
    )
