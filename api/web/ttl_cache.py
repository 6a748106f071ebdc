"""An answer that is read at most once in a while, however many ask."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from common.telemetry import logs

T = TypeVar("T")


class Kept(Generic[T]):
    """The last answer, shared by all who ask while it is fresh or being read."""

    def __init__(self, ask: Callable[[], Awaitable[T]], fresh_s: float) -> None:
        self._ask = ask
        self._fresh_s = fresh_s
        self._reading: asyncio.Task[T] | None = None
        self._until = 0.0

    async def read(self) -> T:
        """Return it. Raises what asking raises."""
        if self._reading is None or (self._reading.done() and time.monotonic() >= self._until):
            self._until = 0.0
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)  # who leaves does not end it for the others

    async def _read(self) -> T:
        logs.request_id.set(b"")  # begun by one request, it serves all
        answer = await self._ask()
        self._until = time.monotonic() + self._fresh_s
        return answer
