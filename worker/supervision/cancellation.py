"""Cancellation of running jobs: the supervisor reads which attempts are cancelled and asks their processes to stop.

Only attempts that have run for a while are looked up, by id: short jobs cost nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from common.settings import Settings
from common.telemetry import logs
from worker.shared_memory.slots import RunningAttempt, Slot

log = logs.get("worker")
RunningSince = tuple[RunningAttempt, float]  # an attempt, and when the parent first saw it
#: Takes attempts as (job, attempt, worker) and returns the workers whose attempt is cancelled.
FindCancelled = Callable[[Sequence[tuple[str, int, int]]], set[int]]


class CancellationCheck:
    """Asks worker processes to stop cancelled attempts, and detects those that have not stopped in time."""

    def __init__(self, settings: Settings) -> None:
        self._interval_s = settings.cancel_check_seconds
        self._grace_s = settings.cancel_grace_seconds
        self._checked_at = float("-inf")
        self._requested: dict[int, RunningSince] = {}  # by process id: the attempt that was asked to stop, and when

    def tick(
        self, now: float, slots: Sequence[Slot], running: Mapping[int, RunningSince], find_cancelled: FindCancelled
    ) -> None:
        """Ask cancelled attempts to stop.

        `running`: by process id, the attempt that runs and since when. `find_cancelled` is called only if an attempt
        has run for the check interval, and at most once in that interval.
        """
        self._requested = {
            pid: request for pid, request in self._requested.items() if pid in running and running[pid][0] == request[0]
        }
        if now - self._checked_at < self._interval_s:
            return
        long_running = {
            slot.worker: (slot, running[slot.pid][0])
            for slot in slots
            if slot.worker
            and slot.pid in running
            and slot.pid not in self._requested
            and now - running[slot.pid][1] >= self._interval_s
        }
        if not long_running:
            return
        self._checked_at = now
        for worker in find_cancelled(
            [(attempt.job_id, attempt.attempt, worker) for worker, (_, attempt) in long_running.items()]
        ):
            slot, attempt = long_running[worker]
            slot.request_cancel(attempt)
            self._requested[slot.pid] = attempt, now
            log.info("job_cancel_requested", worker=worker, job_id=attempt.job_id, attempt=attempt.attempt)

    def is_overdue(self, pid: int, running: RunningAttempt, now: float) -> bool:
        """Return True if a process still runs an attempt that was asked to stop longer ago than the grace."""
        attempt, requested_at = self._requested.get(pid, (None, now))
        return attempt == running and now - requested_at > self._grace_s
