"""Counts of events in the last minute, in Redis, shared by all API processes: by the package `limits`."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from common.broker.redis_client import async_client, redis
from common.settings import Settings
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("api")
WINDOW_S = 60
MAX_WAIT_S = 0.5  # of a request for Redis; then Redis is away
PAUSE_S = 1.0  # after a failure, in which nobody waits for Redis
MAX_CONCURRENT = 8  # commands of one process; others wait for their turn
REGISTER_INTERVAL_S, REGISTERED_S = 10, 30
PREFIX = "jobproc.limits"
_PROCESSES = f"{PREFIX}:processes"
# Counts this process among those that have asked within REGISTERED_S seconds, by the clock of Redis.
_REGISTER = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class RedisAway(Exception):
    """Redis did not answer in time, or refused."""


@dataclass(frozen=True, slots=True)
class Window:
    """The events of the present minute, and of the one before, which count less the longer it is over."""

    limit: int
    before: int
    before_ends_in_s: float
    present: int
    present_ends_in_s: float  #: as `before`: a minute later than as `present`

    @property
    def free(self) -> int:
        """The number of events that the limit still admits now."""
        return max(0, self.limit - int(self.before * self.before_ends_in_s / WINDOW_S) - self.present)

    def wait_s(self, amount: int) -> float:
        """Return the seconds until the limit admits `amount` events, if there are no others. `amount` <= limit."""
        room = self.limit - amount
        if self.present <= room:
            if not self.before:
                return 0.0
            return max(0.0, self.before_ends_in_s - (room - self.present + 1) * WINDOW_S / self.before)
        return max(0.0, self.present_ends_in_s - (room + 1) * WINDOW_S / self.present)


class SharedWindows:
    """The counts in Redis. Each call raises RedisAway while Redis is away."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._client = async_client(settings)
        storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix=PREFIX,
            connection_pool=self._client.connection_pool,  # type: ignore[arg-type]  # it hands all options on
        )
        self._storage = storage
        self._limiter = SlidingWindowCounterRateLimiter(storage)
        self._register = self._client.register_script(_REGISTER)
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._items: dict[int, RateLimitItem] = {}  # by limit
        self._turns = asyncio.Semaphore(MAX_CONCURRENT)
        self._paused_until = self._registered_at = float("-inf")
        self._is_away = False
        self.processes = 1  #: API processes that have asked within the last half a minute, at least this one

    async def read(self, name: str, subject: str, limit: int) -> Window:
        """Return what was counted for a subject."""
        item = self._item(limit)
        key = item.key_for(name, subject)
        before, before_s, present, present_s = await self._ask(
            lambda: self._storage.get_sliding_window(key, item.get_expiry())
        )
        return Window(limit, before, before_s, present, present_s)

    async def take(self, name: str, subject: str, limit: int, amount: int) -> bool:
        """Count `amount` events of a subject; return False, and count none, if the limit does not admit them all."""
        item = self._item(limit)
        return await self._ask(lambda: self._limiter.hit(item, name, subject, cost=amount))

    def _item(self, limit: int) -> RateLimitItem:
        item = self._items.get(limit)
        if item is None:
            item = self._items[limit] = RateLimitItemPerMinute(limit)
        return item

    async def _ask(self, command: Callable[[], Awaitable[T]]) -> T:
        if self._clock() < self._paused_until:
            raise RedisAway
        try:
            async with asyncio.timeout(MAX_WAIT_S), self._turns:
                if self._clock() - self._registered_at >= REGISTER_INTERVAL_S:
                    self._registered_at = self._clock()
                    self.processes = max(1, int(await self._register([_PROCESSES], [self._id, REGISTERED_S])))
                answer = await command()
        except (redis.RedisError, OSError, TimeoutError) as error:
            self._paused_until, self._registered_at = self._clock() + PAUSE_S, float("-inf")
            if not self._is_away:
                self._is_away = True
                log.warning("rate_limits_local", reason=f"{type(error).__name__}: {error}", processes=self.processes)
            raise RedisAway from error
        if self._is_away:
            self._is_away = False
            log.info("rate_limits_shared", processes=self.processes)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
