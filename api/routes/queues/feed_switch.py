"""The switch of a queue's feed waits for a moment in which nobody writes jobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from common.domain.errors import FeedNotSwitched

FIRST_PAUSE_S, MAX_PAUSE_S = 0.02, 0.5


async def until_switched(change: Callable[[], Awaitable[object]], timeout_s: float) -> None:
    """Repeat a change until its lock was free. Raises FeedNotSwitched after `timeout_s`."""
    until_s, pause_s = time.monotonic() + timeout_s, FIRST_PAUSE_S
    while True:
        try:
            await change()
        except FeedNotSwitched:
            if time.monotonic() > until_s:
                raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        else:
            return
