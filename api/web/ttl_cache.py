"""A single-flight cache: a value is kept for `ttl_s` seconds, and concurrent callers share one refresh."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

from common.telemetry import logs

T = TypeVar("T")
MAX_TENANTS = 1_000  # whose values are kept


class TtlCache(Generic[T]):
    """A value that is loaded when it is read and older than `ttl_s` seconds. Failed loads are not cached."""

    def __init__(self, load: Callable[[], Awaitable[T]], ttl_s: float) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._refreshing: asyncio.Task[T] | None = None  #: the refresh in progress, or the last one
        self._loaded_at = float("-inf")

    @property
    def age_s(self) -> float:
        """The seconds since the last successful refresh; infinite before the first."""
        return time.monotonic() - self._loaded_at

    async def read(self) -> T:
        """Return the value, loaded anew if it has expired. Raises what `load` raises, to every concurrent caller."""
        refreshing = self._refreshing
        if refreshing is None or (refreshing.done() and self.age_s >= self._ttl_s):
            refreshing = self.refresh()
        return await asyncio.shield(refreshing)  # a caller that is cancelled does not cancel the others' refresh

    def refresh(self) -> "asyncio.Task[T]":
        """Return the refresh in progress; start one if there is none. Await it under `asyncio.shield`."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh())
        return self._refreshing

    async def _refresh(self) -> T:
        logs.request_id.set(b"")  # one request starts the refresh, but it serves several
        value = await self._load()
        self._loaded_at = time.monotonic()
        return value


class TenantCache(Generic[T]):
    """A TtlCache for each tenant: what it reads is never told to another. The one that is read least recently goes."""

    def __init__(self, load: Callable[[int], Awaitable[T]], ttl_s: float) -> None:
        """`load` reads the value of a tenant."""
        self._load = load
        self._ttl_s = ttl_s
        self._caches: dict[int, TtlCache[T]] = {}  # the most recently read last

    async def read(self, tenant: int) -> T:
        """Return the value of a tenant; see TtlCache."""
        cache = self._caches.pop(tenant, None) or TtlCache(partial(self._load, tenant), self._ttl_s)
        self._caches[tenant] = cache
        if len(self._caches) > MAX_TENANTS:
            del self._caches[next(iter(self._caches))]
        return await cache.read()
