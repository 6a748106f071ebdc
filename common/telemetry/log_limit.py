"""A limit of log lines of one event, for events that anybody can cause as often as they like."""

import time
from collections.abc import Callable

INTERVAL_S = 1.0


class LogLimit:
    """Allows one line in `interval_s` seconds, and counts the occurrences that it stands for."""

    def __init__(self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is monotonic, in seconds."""
        self._interval_s = interval_s
        self._clock = clock
        self._next_s = clock()
        self._unlogged = 0

    def due(self) -> int:
        """Count an occurrence. Return the number since the last line if a line is due, else 0."""
        self._unlogged += 1
        now = self._clock()
        if now < self._next_s:
            return 0
        count, self._unlogged = self._unlogged, 0
        self._next_s = now + self._interval_s
        return count
