"""One rate limit: so many events a minute for each of many subjects.

A process takes a twentieth of a limit at a time from the counts in Redis, divided by the API processes, so that nearly
all events cost no round trip. What a process has taken and does not use lapses after a minute.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.limits.rates.local_share import LocalShare
from api.limits.rates.shared_windows import WINDOW_S, RedisAway, SharedWindows
from common.settings.access.rate_limits import WithoutRedis

PARTS = 20  # of a limit, that all processes together hold at most without having used them
MAX_SUBJECTS = 10_000  # of which a process has seen one lately; it remembers up to as many others
MIN_PAUSE_S = 0.25  # after a refusal, in which the process does not ask Redis again for the subject


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a limit does not admit an event."""

    limit: int
    wait_s: float  #: until it may; infinite: the event is larger than the limit
    redis_is_away: bool = False


class _Allowance:
    """The events of one subject that a process may admit."""

    __slots__ = ("free", "local", "lock", "refused", "refused_until", "tokens", "valid_until")

    def __init__(self) -> None:
        self.tokens = 0  # taken from Redis and not used yet
        self.valid_until = self.refused_until = float("-inf")
        self.refused: Refusal | None = None
        self.free = 0  # what Redis had left at the last look
        self.lock = asyncio.Lock()
        self.local: LocalShare | None = None  # while Redis is away


class RateLimit:
    """A limit of events a minute, of each subject for itself."""

    def __init__(
        self,
        name: str,
        per_minute: int,
        windows: SharedWindows,
        without_redis: WithoutRedis = WithoutRedis.SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`per_minute`: the limit of subjects for which none is given; 0: none. `clock`: monotonic seconds."""
        self.name, self.per_minute = name, per_minute
        self._windows = windows
        self._refuses_without_redis = without_redis is WithoutRedis.REFUSE
        self._clock = clock
        #: the subjects of late; and those before, of which the next event makes one of the former again
        self._allowances: dict[str, _Allowance] = {}
        self._earlier: dict[str, _Allowance] = {}

    async def take(self, subject: str, amount: int = 1, per_minute: int | None = None) -> Refusal | None:
        """Count `amount` events of a subject, all or none; return why they are refused, None if they are admitted.

        Waits for Redis if this process has nothing left, for MAX_WAIT_S at most.
        """
        allowance = self._allowances.get(subject) or self._remember(subject)
        now = self._clock()
        if allowance.tokens >= amount and now < allowance.valid_until:
            allowance.tokens -= amount
            return None
        limit = self.per_minute if per_minute is None else per_minute
        if amount > limit:
            return Refusal(limit, math.inf)
        if now < allowance.refused_until:
            return allowance.refused
        async with allowance.lock:
            return await self._take_more(allowance, subject, amount, limit)

    def refusal(self, subject: str) -> Refusal | None:
        """Return why an event of a subject would be refused at once, None if it might be admitted. Counts nothing."""
        allowance = self._allowances.get(subject) or self._earlier.get(subject)
        return None if allowance is None or self._clock() >= allowance.refused_until else allowance.refused

    def left(self, subject: str, per_minute: int | None = None) -> int:
        """Return about how many more events of a subject would be admitted now, as far as this process knows."""
        allowance = self._allowances.get(subject) or self._earlier.get(subject)
        limit = self.per_minute if per_minute is None else per_minute
        if allowance is None or self._clock() >= max(allowance.valid_until, allowance.refused_until):
            return limit  # what was counted then is a minute old
        return min(limit, allowance.tokens + allowance.free)

    async def _take_more(self, allowance: _Allowance, subject: str, amount: int, limit: int) -> Refusal | None:
        now = self._clock()
        if now >= allowance.valid_until:
            allowance.tokens = 0
        if allowance.tokens >= amount:  # another request has taken more meanwhile
            allowance.tokens -= amount
            return None
        if now < allowance.refused_until:
            return allowance.refused
        try:
            missing = amount - allowance.tokens
            window = await self._windows.read(self.name, subject, limit)
            part = min(window.free, max(missing, limit // (PARTS * self._windows.processes)))
            if part >= missing and await self._windows.take(self.name, subject, limit, part):
                allowance.local = None
                allowance.tokens += part - amount
                allowance.free = window.free - part
                allowance.valid_until = self._clock() + WINDOW_S
                return None
            refusal = Refusal(limit, max(MIN_PAUSE_S, window.wait_s(missing)))
            allowance.free = window.free
            if amount == 1:  # of more it may be that fewer are admitted
                self._pause(allowance, refusal)
            return refusal
        except RedisAway:
            return self._take_of_share(allowance, amount, limit)

    def _take_of_share(self, allowance: _Allowance, amount: int, limit: int) -> Refusal | None:
        if self._refuses_without_redis:
            return Refusal(limit, 1.0, redis_is_away=True)
        now, share = self._clock(), max(1, limit // self._windows.processes)
        if allowance.local is None:
            allowance.local = LocalShare(share, now)
        wait_s = allowance.local.take(amount, share, now)
        allowance.free = 0
        return Refusal(limit, wait_s, redis_is_away=True) if wait_s else None

    def _pause(self, allowance: _Allowance, refusal: Refusal) -> None:
        """Refuse the subject for a while without asking Redis."""
        allowance.refused_until = self._clock() + min(refusal.wait_s, WINDOW_S / PARTS)
        allowance.refused, allowance.free = refusal, 0

    def _remember(self, subject: str) -> _Allowance:
        if len(self._allowances) >= MAX_SUBJECTS:
            self._allowances, self._earlier = {}, self._allowances
        allowance = self._earlier.pop(subject) if subject in self._earlier else _Allowance()
        self._allowances[subject] = allowance
        return allowance
