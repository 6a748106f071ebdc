"""Subscribes to change notifications while clients wait.

Polling (api/watch/watchers.py) finds changes that it misses.
"""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from common.broker.change_notifications import CHANNEL, NO_SUBSCRIBER_PAUSE_S, ids_of_message
from common.broker.redis_client import redis, subscriber_client
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")
LINGER_S = 5.0  # the subscription outlives its last client by this, so successive long polls share it
PING_AFTER_S = 1.0  # of silence; Redis then has as long to answer the ping
RECONNECT_PAUSE_S = 0.5
PUBLISHER_LAG_S = NO_SUBSCRIBER_PAUSE_S + 0.2  # longest time for which a worker may skip publishing after we subscribed


class ChangeListener:
    """One Redis connection, subscribed while clients wait."""

    def __init__(self, settings: Settings, on_changed: Callable[[Sequence[str]], None]) -> None:
        """Prepare the client without connecting; `on_changed` is called with the ids of changed jobs."""
        self._client = subscriber_client(settings)
        self._on_changed = on_changed
        self._listen_until = 0.0
        self._subscribed_at = math.inf
        self._listener: asyncio.Task[None] | None = None

    @property
    def publishers_ready(self) -> bool:
        """True if every worker publishes by now: we have been subscribed for longer than PUBLISHER_LAG_S."""
        return time.monotonic() - self._subscribed_at > PUBLISHER_LAG_S

    def keep_alive(self) -> None:
        """Subscribe if needed, and stay subscribed for the next LINGER_S seconds."""
        self._listen_until = time.monotonic() + LINGER_S
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        logs.request_id.set(b"")  # one request starts the task, but it serves several
        warned = False
        try:
            while time.monotonic() < self._listen_until:
                try:
                    await self._receive()
                except (redis.RedisError, OSError, TimeoutError) as error:
                    if not warned:
                        log.warning(
                            "change_notifications_unavailable", reason=f"{type(error).__name__}: {error}".strip()
                        )
                    warned = True
                    await asyncio.sleep(RECONNECT_PAUSE_S)
                finally:
                    self._subscribed_at = math.inf
        finally:
            self._listener = None

    async def _receive(self) -> None:
        pinged = False
        async with self._client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            while time.monotonic() < self._listen_until:
                message = await channel.get_message(timeout=PING_AFTER_S)
                if message is not None:
                    pinged = False
                    if message["type"] == "subscribe":
                        self._subscribed_at = time.monotonic()
                    elif ids := ids_of_message(message):
                        self._on_changed(ids)
                elif pinged:
                    raise TimeoutError("Redis does not answer a ping")
                else:  # no job has changed, or the connection is broken
                    pinged = True
                    await channel.ping()

    async def close(self) -> None:
        """Unsubscribe and close the connection."""
        self._listen_until = 0.0
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._client.aclose()
