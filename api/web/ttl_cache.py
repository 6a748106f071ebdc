"""An answer that is read at most once in a while, however many ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from common.telemetry import logs

T = TypeVar("T")


class TtlCache(Generic[T]):
    """The last answer, shared by all who ask while it is fresh or being read."""

    def __init__(self, load: Callable[[], Awaitable[T]], ttl_s: float) -> None:
        self._load = load
        self._ttl_s = ttl_s
        self._loading: asyncio.Task[T] | None = None
        self._fresh_until = 0.0

    async def read(self) -> T:
        """Return it. Raises what asking raises."""
        if self._loading is None or (self._loading.done() and time.monotonic() >= self._fresh_until):
            self._fresh_until = 0.0
            self._loading = asyncio.create_task(self._read())
        return await asyncio.shield(self._loading)  # who leaves does not end it for the others

    async def _read(self) -> T:
        logs.request_id.set(b"")  # begun by one request, it serves all
        answer = await self._load()
        self._fresh_until = time.monotonic() + self._ttl_s
        return answer
