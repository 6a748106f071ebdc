"""Cancellation of running jobs: the parent looks up which of them their clients have cancelled, and tells the processes.

Jobs are looked up by id, and only once they have run for a while: short jobs cost nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from common.settings import Settings
from common.telemetry import logs
from worker.shared_memory.slots import Running, Slot

log = logs.get("worker")
RunningSince = tuple[Running, float]  # an attempt, and when the parent first saw it
FindCancelled = Callable[[Sequence[tuple[str, int, int]]], set[int]]  # of (job, attempt, worker): the workers whose attempt is cancelled


class CancellationCheck:
    """Asks processes to stop what they run, and tells which of them have not stopped in time."""

    def __init__(self, settings: Settings) -> None:
        self._interval_s = settings.cancel_check_seconds
        self._grace_s = settings.cancel_grace_seconds
        self._checked_at = float("-inf")
        self._asked: dict[int, RunningSince] = {}  # by process id: the attempt that was asked to stop, and when

    def tick(self, now: float, slots: Sequence[Slot], running: Mapping[int, RunningSince], find_cancelled: FindCancelled) -> None:
        """Ask cancelled attempts to stop.

        `running`: by process id, what runs there and since when; `find_cancelled`: is called only if an attempt has run for long enough.
        """
        self._asked = {pid: asked for pid, asked in self._asked.items() if pid in running and running[pid][0] == asked[0]}
        if now - self._checked_at < self._interval_s:
            return
        long_running = {
            slot.worker: (slot, running[slot.pid][0])
            for slot in slots
            if slot.worker and slot.pid in running and slot.pid not in self._asked and now - running[slot.pid][1] >= self._interval_s
        }
        if not long_running:
            return
        self._checked_at = now
        for worker in find_cancelled([(attempt.job_id, attempt.attempt, worker) for worker, (_, attempt) in long_running.items()]):
            slot, attempt = long_running[worker]
            slot.request_cancel(attempt)
            self._asked[slot.pid] = attempt, now
            log.info("job_asked_to_stop", worker=worker, job_id=attempt.job_id, attempt=attempt.attempt)

    def is_overdue(self, pid: int, running: Running, now: float) -> bool:
        """Return True if a process still runs the attempt that was asked to stop longer ago than the grace."""
        asked, since = self._asked.get(pid, (None, now))
        return asked == running and now - since > self._grace_s
