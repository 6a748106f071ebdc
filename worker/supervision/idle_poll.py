"""Looks that nobody rang for: an idle process that has waited in vain for a doorbell is sent to look for work.

So work goes on while Redis is away, or a consumer is deaf, at the pace of a tick instead of at once. A look is a claim like any other.
"""

from collections.abc import Sequence

from worker.shared_memory.slots import Seat


class Lookout:
    """Sends the idle processes of one worker: in turns one a tick, every one while others find work."""

    def __init__(self, tick_s: float) -> None:
        """`tick_s`: seconds without a look after which a process is sent, and between two times of sending."""
        self._tick_s = tick_s
        self._sent_s = float("-inf")

    def look(self, now: float, idle: Sequence[Seat], *, busy: bool) -> None:
        """Send whom it is time for; `now` in seconds of the monotonic clock, `busy`: whether there are others, that run something."""
        wait = [seat for seat in idle if now - seat.looked_s >= self._tick_s]
        if not wait or now - self._sent_s < self._tick_s:
            return
        self._sent_s = now
        for seat in wait if busy else [min(wait, key=lambda seat: seat.sent)]:
            seat.send_to_look()
