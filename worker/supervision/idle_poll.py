"""Polling fallback: the parent asks an idle process to claim when no doorbell has woken it for a tick.

Work goes on at the pace of a tick while Redis is unavailable or a consumer is stalled. The process claims as usual.
"""

from collections.abc import Sequence

from worker.shared_memory.slots import Slot


class IdlePoller:
    """Asks idle processes of one worker to poll: one process a tick, in rotation; all of them while others run jobs."""

    def __init__(self, tick_s: float) -> None:
        """`tick_s`: seconds without a claim before a process is asked to poll; also the time between two requests."""
        self._tick_s = tick_s
        self._requested_at_s = float("-inf")

    def tick(self, now: float, idle: Sequence[Slot], *, busy: bool) -> None:
        """Ask idle processes to poll if that is due.

        `now`: monotonic seconds. `busy`: True if other processes of the worker run jobs.
        """
        due = [slot for slot in idle if now - slot.last_claim_s >= self._tick_s]
        if not due or now - self._requested_at_s < self._tick_s:
            return
        self._requested_at_s = now
        for slot in due if busy else [min(due, key=lambda slot: slot.poll_requests)]:
            slot.request_poll()
