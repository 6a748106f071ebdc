"""Hears through Redis which jobs have changed, while somebody waits for one. What is not heard is found by the looks of api/watch/watchers.py."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence

from common.broker.change_feed import CHANGED, NOBODY_S, changed
from common.broker.redis_client import listening_redis, redis
from common.settings import Settings
from common.telemetry import logs

log = logs.get("api")
LINGER_S = 5.0  # it listens so long after the last client has left, so that one wait after the other is told
SILENCE_S = 1.0  # then Redis is asked whether it is there, and has as long to answer
PAUSE_S = 0.5  # before it connects again
SURE_S = NOBODY_S + 0.2  # by then no process leaves telling out any more because nobody had heard it


class Wakeups:
    """One connection that listens, as long as it is wanted."""

    def __init__(self, settings: Settings, told: Callable[[Sequence[str]], None]) -> None:
        """`told` gets the ids of jobs that have changed."""
        self._client = listening_redis(settings)
        self._told = told
        self._until = 0.0
        self._since = math.inf
        self._listener: asyncio.Task[None] | None = None

    @property
    def sure(self) -> bool:
        """Whether workers have found somebody listening by now."""
        return time.monotonic() - self._since > SURE_S

    def want(self) -> None:
        """Listen from now on, for a while."""
        self._until = time.monotonic() + LINGER_S
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        warned = False
        try:
            while time.monotonic() < self._until:
                try:
                    await self._hear()
                except (redis.RedisError, OSError, TimeoutError) as error:
                    if not warned:
                        log.warning("wakeups_away", reason=f"{type(error).__name__}: {error}".strip())
                    warned = True
                    await asyncio.sleep(PAUSE_S)
                finally:
                    self._since = math.inf
        finally:
            self._listener = None

    async def _hear(self) -> None:
        asked = False
        async with self._client.pubsub() as channel:
            await channel.subscribe(CHANGED)
            while time.monotonic() < self._until:
                message = await channel.get_message(timeout=SILENCE_S)
                if message is not None:
                    asked = False
                    if message["type"] == "subscribe":
                        self._since = time.monotonic()
                    elif ids := changed(message):
                        self._told(ids)
                elif asked:
                    raise TimeoutError("Redis has gone silent")
                else:  # nothing happens, or nothing comes through
                    asked = True
                    await channel.ping()

    async def close(self) -> None:
        """End it and its connection."""
        self._until = 0.0
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
        await self._client.aclose()
