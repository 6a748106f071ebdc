"""Back-pressure: a queue that is late takes no more, so that what it has taken is not later still."""

import math
from collections.abc import Iterable

from api.schemas import QueueStatsView, QueueView
from api.web.problems import QUEUE_LATE, ProblemError
from api.web.ttl_cache import TtlCache
from common.settings import Settings

MIN_RETRY_AFTER_S, MAX_RETRY_AFTER_S = 1, 300  # of Retry-After


class Backpressure:
    """Lets submissions in, or says when to come again."""

    def __init__(self, settings: Settings, queues: TtlCache[QueueStatsView]) -> None:
        self.limit_s = settings.max_queue_age_seconds  #: 0: off
        self._queue_stats = queues

    async def check(self, names: Iterable[str]) -> None:
        """Raise ProblemError, 429, where the oldest due job of a queue has waited for longer than the limit. Off: asks nobody."""
        if not self.limit_s:
            return
        wanted = set(names)
        for queue in (await self._queue_stats.read()).queues:
            if queue.queue in wanted and queue.oldest_due_seconds > self.limit_s:
                detail = f"The oldest job of the queue {queue.queue!r} has waited for {queue.oldest_due_seconds:.0f} s, longer than {self.limit_s:g} s."
                raise ProblemError(QUEUE_LATE, detail, headers={"Retry-After": str(retry_after_s(queue, self.limit_s))})


def retry_after_s(queue: QueueView, limit_s: float) -> int:
    """Return in how many seconds the queue will be in time again if nobody submits meanwhile, 1 to 300.

    A backlog of n jobs that came over a seconds is worked off at r jobs a second: the age of its oldest changes by 1 - r a / n each second.
    """
    rate = queue.succeeded_per_second.last_minute + queue.failed_per_second.last_minute
    falls = rate * queue.oldest_due_seconds / max(1, queue.queued) - 1
    if falls <= 0:
        return MAX_RETRY_AFTER_S
    return max(MIN_RETRY_AFTER_S, min(MAX_RETRY_AFTER_S, math.ceil((queue.oldest_due_seconds - limit_s) / falls)))
