"""Doorbells, rung in the background: one ring at a time per queue; the next one serves all jobs stored meanwhile."""

import asyncio

from api.telemetry.metrics import ApiMetrics
from common.broker.doorbells import DoorbellMessages, ring_async
from common.broker.redis_client import async_client, reason, redis
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")


class Doorbells:
    """Rings the doorbells of queues without delaying requests. Lost rings are made up for by the controller's tick."""

    def __init__(self, settings: Settings, metrics: ApiMetrics) -> None:
        self._outcomes = metrics.doorbells
        self._client = async_client(settings)
        self._tls = settings.redis_server.tls
        self._interval_s = settings.doorbell_min_interval_milliseconds / 1000
        self._messages = DoorbellMessages()
        #: by queue: jobs stored since the last ring began. A queue has a key while its ringer runs.
        self._jobs_to_ring_for: dict[str, int] = {}
        self._ringers: set[asyncio.Task[None]] = set()

    def ring_soon(self, queue: str, jobs: int) -> None:
        """Ring for `jobs` jobs that were stored in a queue; start a ringer if none runs."""
        if queue in self._jobs_to_ring_for:
            self._jobs_to_ring_for[queue] += jobs
            return
        self._jobs_to_ring_for[queue] = jobs
        task = asyncio.create_task(self._ring(queue))
        self._ringers.add(task)
        task.add_done_callback(self._ringers.discard)

    async def _ring(self, queue: str) -> None:
        logs.request_id.set(b"")  # started by one request, the ringer serves all
        message = self._messages[queue]
        try:
            while jobs := self._jobs_to_ring_for[queue]:
                self._jobs_to_ring_for[queue] = 0
                rang = await ring_async(self._client, message, queue)
                self._outcomes.labels("sent" if rang else "coalesced").inc()
                # A single submission rings at once. When many arrive together, one ring serves all of an interval: it
                # is delayed to the interval's end, never dropped.
                if jobs > 1 and self._interval_s:
                    await asyncio.sleep(self._interval_s)
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._outcomes.labels("failed").inc()
            log.warning("ring_failed", queue=queue, reason=reason(error, self._tls))
        finally:
            del self._jobs_to_ring_for[queue]

    async def close(self) -> None:
        """Cancel the ringers and close the connections."""
        for task in list(self._ringers):
            task.cancel()
        await asyncio.gather(*self._ringers, return_exceptions=True)
        await self._client.aclose()
