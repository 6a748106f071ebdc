"""Work that nobody rings for: an idle process that waits for doorbells in vain is sent to look.

So work goes on while Redis is away, at the pace of a tick instead of at once. That work is due is what PostgreSQL says, asked by
the parent at most once a tick, and only while one of its processes is idle and none has rung it for as long.
"""

from collections.abc import Callable, Sequence

from worker.seats import Seat, Seats


class Lookout:
    """The parent's eye for due work of its queues."""

    def __init__(self, seats: Seats, tick_s: float, queues: Sequence[str], due: Callable[[], Sequence[str]]) -> None:
        """`tick_s`: seconds between two questions; `due`: asks PostgreSQL for the queues in which work is due, and may raise."""
        self._seats = seats
        self._tick_s = tick_s
        self._queues = frozenset(queues)
        self._due = due
        self._asked = float("-inf")
        self._waits = False

    def look(self, now: float, idle: Sequence[Seat]) -> bool:
        """Return whether work waits that these processes could do, as far as was asked; sends them to look when it does."""
        if all(now - seat.looked_s < self._tick_s for seat in idle):  # holds too when none is idle
            self._waits = False
        elif now - self._asked >= self._tick_s:
            self._asked = now
            self._waits = not self._queues.isdisjoint(self._due())
            if self._waits:
                self._seats.send_to_look()
        return self._waits
