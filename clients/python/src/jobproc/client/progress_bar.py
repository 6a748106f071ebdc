"""A bar of progress on a terminal or in a notebook, of plain text."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

WIDTH = 30
INTERVAL_S = 0.1  # between two drawings


class ProgressBar:
    """Draws how many of the jobs have ended. Elsewhere than on a terminal or in a notebook it draws nothing."""

    def __init__(
        self, total: int | None, output: TextIO | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`total`: the number of jobs; None: unknown. `output`: default: stderr."""
        self.total = total
        self._output = output or sys.stderr
        self._clock_s = clock_s
        self._is_shown = self._output.isatty() or "ipykernel" in sys.modules
        self._drawn_at = float("-inf")
        self._began_at = clock_s()

    def update(self, submitted: int, ended: int) -> None:
        """Draw the numbers of jobs, at most ten times a second."""
        if self._is_shown and (self._clock_s() - self._drawn_at >= INTERVAL_S or ended == self.total):
            self._drawn_at = self._clock_s()
            # A carriage return goes to the begin of the line in notebooks as well; spaces clear what was longer.
            self._output.write(f"\r{self._text(submitted, ended):<{WIDTH + 50}}")
            self._output.flush()

    def end(self) -> None:
        """End the line."""
        if self._is_shown:
            self._output.write("\n")
            self._output.flush()

    def _text(self, submitted: int, ended: int) -> str:
        per_second = ended / max(0.001, self._clock_s() - self._began_at)
        if self.total is None:
            return f"{ended:,} of {submitted:,} submitted  {per_second:,.0f}/s"
        filled = WIDTH * ended // max(1, self.total)
        return f"[{'#' * filled}{'.' * (WIDTH - filled)}] {ended:,} of {self.total:,}  {per_second:,.0f}/s"
