"""Looks that nobody rang for: an idle process that has waited in vain for a doorbell is sent to look for work.

So work goes on while Redis is away, or a consumer is deaf, at the pace of a tick instead of at once. A look is a claim like any other.
"""

from collections.abc import Sequence

from worker.shared_memory.slots import Slot


class IdlePoller:
    """Sends the idle processes of one worker: in turns one a tick, every one while others find work."""

    def __init__(self, tick_s: float) -> None:
        """`tick_s`: seconds without a look after which a process is sent, and between two times of sending."""
        self._tick_s = tick_s
        self._requested_at_s = float("-inf")

    def tick(self, now: float, idle: Sequence[Slot], *, busy: bool) -> None:
        """Send whom it is time for; `now` in seconds of the monotonic clock, `busy`: whether there are others, that run something."""
        wait = [slot for slot in idle if now - slot.last_claim_s >= self._tick_s]
        if not wait or now - self._requested_at_s < self._tick_s:
            return
        self._requested_at_s = now
        for slot in wait if busy else [min(wait, key=lambda slot: slot.poll_requests)]:
            slot.request_poll()
