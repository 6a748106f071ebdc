"""Rings off the request's path: one at a time a queue, and the next one for all that came meanwhile."""

import asyncio

from api.telemetry.metrics import ApiMetrics
from common.broker.doorbells import DoorbellMessages, ring_async
from common.broker.redis_client import async_client, redis
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")


class Doorbells:
    """Rings for queues. Never in a request's way: what Redis does not take, the controller's tick makes up for."""

    def __init__(self, settings: Settings, meters: ApiMetrics) -> None:
        self._outcomes = meters.doorbells
        self._client = async_client(settings)
        self._interval_s = settings.ring_interval_milliseconds / 1000
        self._messages = DoorbellMessages()
        self._jobs_to_ring_for: dict[str, int] = {}  # jobs stored since the last ring began, by queue; a key while its ringer runs
        self._ringers: set[asyncio.Task[None]] = set()

    def ring_soon(self, queue: str, jobs: int) -> None:
        """Say that so many jobs of a queue have been stored."""
        if queue in self._jobs_to_ring_for:
            self._jobs_to_ring_for[queue] += jobs
            return
        self._jobs_to_ring_for[queue] = jobs
        task = asyncio.create_task(self._ring(queue))
        self._ringers.add(task)
        task.add_done_callback(self._ringers.discard)

    async def _ring(self, queue: str) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        message = self._messages[queue]
        try:
            while jobs := self._jobs_to_ring_for[queue]:
                self._jobs_to_ring_for[queue] = 0
                rang = await ring_async(self._client, message, queue)
                self._outcomes.labels("rang" if rang else "unanswered").inc()
                # A lone submission rings at once. While they come many at a time, one ring serves all of an interval: put
                # off to its end, never dropped.
                if jobs > 1 and self._interval_s:
                    await asyncio.sleep(self._interval_s)
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._outcomes.labels("failed").inc()
            log.warning("ring_failed", queue=queue, reason=f"{type(error).__name__}: {error}")
        finally:
            del self._jobs_to_ring_for[queue]

    async def close(self) -> None:
        """End the ringers and the connections."""
        for task in list(self._ringers):
            task.cancel()
        await asyncio.gather(*self._ringers, return_exceptions=True)
        await self._client.aclose()
