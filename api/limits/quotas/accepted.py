"""Amounts that one process has accepted since the usage of tenants was counted."""

from collections import deque

STEP_S = 0.05  # amounts that are so close together are one


class Accepted:
    """Amounts of one tenant, by the time at which they were committed."""

    __slots__ = ("_amounts", "pending", "total")

    def __init__(self) -> None:
        self._amounts: deque[list[float]] = deque()  # [monotonic seconds, amount]
        self.pending = 0  #: of submissions that wait for their commit
        self.total = 0  #: of committed ones that were not forgotten

    def add(self, now: float, amount: int) -> None:
        """Add an amount that was committed now."""
        if self._amounts and now - self._amounts[-1][0] < STEP_S:
            self._amounts[-1][1] += amount
        else:
            self._amounts.append([now, amount])
        self.total += amount

    def forget_before(self, time_s: float) -> None:
        """Forget the amounts that the count of a time has seen."""
        while self._amounts and self._amounts[0][0] < time_s:
            self.total -= int(self._amounts.popleft()[1])
