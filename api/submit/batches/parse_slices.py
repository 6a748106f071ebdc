"""Slices of time in which many submissions are parsed, so that other requests run between them."""

import asyncio
import time

PARSE_SLICE_S = 0.003


class ParseSlices:
    """The slices of one body; the first one begins with it."""

    def __init__(self) -> None:
        self._end = time.perf_counter() + PARSE_SLICE_S

    async def pause_if_over(self) -> None:
        """Let other requests run if the slice is over, and begin the next one."""
        if time.perf_counter() > self._end:
            await asyncio.sleep(0)
            self._end = time.perf_counter() + PARSE_SLICE_S
