"""The lag of the event loop: how late a timer runs, because a callback holds the loop or the process gets no CPU."""

import time
from asyncio import AbstractEventLoop
from collections.abc import Callable

INTERVAL_S = 0.05  # 0.1 % of a core: 60 microseconds a timer; a shorter hold of the loop may go unnoticed


class LoopLag:
    """A timer of the event loop that reports how late it runs. It ends with the loop."""

    def __init__(
        self, loop: AbstractEventLoop, observe: Callable[[float], None], now: Callable[[], float] = time.perf_counter
    ) -> None:
        """Start the timer. `observe` is called with each lag in seconds."""
        self._loop = loop
        self._observe = observe
        self._now = now  # not the loop's clock, which uvloop reads once an iteration
        self._due_s = 0.0
        self._schedule()

    def _schedule(self) -> None:
        self._due_s = self._now() + INTERVAL_S
        self._loop.call_later(INTERVAL_S, self._run)

    def _run(self) -> None:
        self._observe(max(0.0, self._now() - self._due_s))
        self._schedule()
