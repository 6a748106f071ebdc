"""Hears through Redis which jobs have changed, while somebody waits for one. What is not heard is found by the looks of api/watch/watchers.py."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from common.broker.change_feed import CHANNEL, NO_SUBSCRIBER_PAUSE_S, ids_of_message
from common.broker.redis_client import redis, subscriber_client
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")
LINGER_S = 5.0  # it listens so long after the last client has left, so that one wait after the other is told
PING_AFTER_S = 1.0  # then Redis is asked whether it is there, and has as long to answer
RECONNECT_PAUSE_S = 0.5  # before it connects again
PUBLISHER_LAG_S = NO_SUBSCRIBER_PAUSE_S + 0.2  # by then no process leaves telling out any more because nobody had heard it


class ChangeListener:
    """One connection that listens, as long as it is wanted."""

    def __init__(self, settings: Settings, on_changed: Callable[[Sequence[str]], None]) -> None:
        """`told` gets the ids of jobs that have changed."""
        self._client = subscriber_client(settings)
        self._on_changed = on_changed
        self._listen_until = 0.0
        self._subscribed_at = math.inf
        self._listener: asyncio.Task[None] | None = None

    @property
    def publishers_ready(self) -> bool:
        """Whether workers have found somebody listening by now."""
        return time.monotonic() - self._subscribed_at > PUBLISHER_LAG_S

    def keep_alive(self) -> None:
        """Listen from now on, for a while."""
        self._listen_until = time.monotonic() + LINGER_S
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        warned = False
        try:
            while time.monotonic() < self._listen_until:
                try:
                    await self._receive()
                except (redis.RedisError, OSError, TimeoutError) as error:
                    if not warned:
                        log.warning("wakeups_away", reason=f"{type(error).__name__}: {error}".strip())
                    warned = True
                    await asyncio.sleep(RECONNECT_PAUSE_S)
                finally:
                    self._subscribed_at = math.inf
        finally:
            self._listener = None

    async def _receive(self) -> None:
        asked = False
        async with self._client.pubsub() as channel:
            await channel.subscribe(CHANNEL)
            while time.monotonic() < self._listen_until:
                message = await channel.get_message(timeout=PING_AFTER_S)
                if message is not None:
                    asked = False
                    if message["type"] == "subscribe":
                        self._subscribed_at = time.monotonic()
                    elif ids := ids_of_message(message):
                        self._on_changed(ids)
                elif asked:
                    raise TimeoutError("Redis has gone silent")
                else:  # nothing happens, or nothing comes through
                    asked = True
                    await channel.ping()

    async def close(self) -> None:
        """End it and its connection."""
        self._listen_until = 0.0
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._client.aclose()
