"""A limit of log lines of one event, for events that anybody can cause as often as they like."""

import time
from collections.abc import Callable

INTERVAL_S = 1.0


class LogLimit:
    """Allows a number of lines in `interval_s` seconds, and counts the occurrences that each stands for."""

    def __init__(
        self, interval_s: float = INTERVAL_S, clock: Callable[[], float] = time.monotonic, *, lines: int = 1
    ) -> None:
        """`clock` is monotonic, in seconds. `lines` 0: no line is ever due."""
        self._interval_s = interval_s
        self._clock = clock
        self._lines = lines
        self._lines_left = lines
        self._next_s = clock()  # from when on there are all lines again
        self._unlogged = 0

    def due(self) -> int:
        """Count an occurrence. Return the number since the last line if a line is due, else 0."""
        if not self._may_log():
            self._unlogged += 1
            return 0
        self._lines_left -= 1
        return 1 + self.take_unlogged()

    def overdue(self) -> int:
        """Return the number of occurrences that no line stands for, once a line may say it; else 0. Forgets them."""
        return self.take_unlogged() if self._unlogged and self._may_log() else 0

    def take_unlogged(self) -> int:
        """Return the number of occurrences that no line stands for, at whatever time. Forgets them."""
        count, self._unlogged = self._unlogged, 0
        return count

    def _may_log(self) -> bool:
        now = self._clock()
        if now >= self._next_s:
            self._next_s = now + self._interval_s
            self._lines_left = self._lines
        return self._lines_left > 0
