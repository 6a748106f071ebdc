"""Back-pressure: refuses submissions to a queue that is late, so that its accepted jobs are not delayed further."""

import math
from collections.abc import Iterable
from functools import partial

from api.schemas import QueueStatsView, QueueView
from api.web.problem_kinds import QUEUE_LATE
from api.web.problems import ProblemError
from api.web.ttl_cache import TenantCache
from common.domain.errors import JobprocError
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.queues.queue_stats import oldest_due_s

CACHE_S = 1.0  # for which the ages of the queues are kept
MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1, 300  # of Retry-After


class Backpressure:
    """Refuses submissions to late queues, with the time after which to retry."""

    def __init__(self, settings: Settings, pool: DatabasePool, queue_stats: TenantCache[QueueStatsView]) -> None:
        self.limit_s = settings.max_queue_age_seconds  #: 0: off
        self._queue_stats = queue_stats
        # Not of `queue_stats`: a submission must not wait for an expensive read.
        self._oldest_due_s = TenantCache(
            lambda tenant: pool.run_sync(partial(oldest_due_s, tenant=tenant), Lane.INTAKE, tenant=tenant), CACHE_S
        )

    async def check(self, tenant: int, names: Iterable[str]) -> None:
        """Raise ProblemError (429) if a tenant's oldest due job of one of these queues has waited for too long.

        Reads nothing while back-pressure is off.
        """
        if not self.limit_s:
            return
        ages_s = await self._oldest_due_s.read(tenant)
        for name in set(names):
            if (age_s := ages_s.get(name, 0.0)) > self.limit_s:
                detail = (
                    f"The oldest job of the queue {name!r} has waited for {age_s:.0f} s, "
                    f"longer than {self.limit_s:g} s."
                )
                raise ProblemError(
                    QUEUE_LATE, detail, headers={"Retry-After": str(await self._retry_after_s(tenant, name))}
                )

    async def _retry_after_s(self, tenant: int, name: str) -> int:
        try:
            queues = (await self._queue_stats.read(tenant)).queues
        except JobprocError:  # the statistics cannot be read now
            return MAX_RETRY_AFTER_S
        return next((retry_after_s(queue, self.limit_s) for queue in queues if queue.queue == name), MAX_RETRY_AFTER_S)


def retry_after_s(queue: QueueView, limit_s: float) -> int:
    """Return the seconds, 1 to 300, after which the queue is within the limit again if nobody submits meanwhile.

    A backlog of n jobs that arrived over a seconds is processed at r jobs a second. Then the age of its oldest job
    changes by 1 - r a / n each second.
    """
    rate = queue.succeeded_per_second.last_minute + queue.failed_per_second.last_minute
    decrease = rate * queue.oldest_due_seconds / max(1, queue.queued) - 1
    if decrease <= 0:
        return MAX_RETRY_AFTER_S
    return max(MIN_RETRY_AFTER_S, min(MAX_RETRY_AFTER_S, math.ceil((queue.oldest_due_seconds - limit_s) / decrease)))
