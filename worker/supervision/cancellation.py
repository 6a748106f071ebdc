"""Which of the jobs that run their clients want to stop. Looked up by id, and only once one has run for a while: short jobs cost nothing."""

from collections.abc import Callable, Mapping, Sequence

from common.settings import Settings
from common.telemetry import logs
from worker.shared_memory.slots import Running, Seat

log = logs.get("worker")
Ask = Callable[[Sequence[tuple[str, int, int]]], set[int]]  # of (job, attempt, worker): which workers are to stop


class Cancellation:
    """Tells processes to stop what they run, and says which of them have not."""

    def __init__(self, settings: Settings) -> None:
        self._every_s = settings.cancel_check_seconds
        self._grace_s = settings.cancel_grace_seconds
        self._looked = float("-inf")
        self._told: dict[int, tuple[Running, float]] = {}  # by process id: what it was told to stop, and when

    def look(self, now: float, seats: Sequence[Seat], began: Mapping[int, tuple[Running, float]], ask: Ask) -> None:
        """Tell those that are to stop. `began`: by process id what runs there and since when; `ask` is called only if need be."""
        self._told = {pid: told for pid, told in self._told.items() if pid in began and began[pid][0] == told[0]}
        if now - self._looked < self._every_s:
            return
        long = {
            seat.worker: (seat, began[seat.pid][0])
            for seat in seats
            if seat.worker and seat.pid in began and seat.pid not in self._told and now - began[seat.pid][1] >= self._every_s
        }
        if not long:
            return
        self._looked = now
        for worker in ask([(running.job_id, running.attempt, worker) for worker, (_, running) in long.items()]):
            seat, running = long[worker]
            seat.ask_to_stop(running)
            self._told[seat.pid] = running, now
            log.info("job_asked_to_stop", worker=worker, job_id=running.job_id, attempt=running.attempt)

    def is_overdue(self, pid: int, running: Running, now: float) -> bool:
        """Whether a process still runs what it was told to stop longer ago than the grace."""
        told, since = self._told.get(pid, (None, now))
        return told == running and now - since > self._grace_s
