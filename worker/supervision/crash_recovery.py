"""What becomes of the jobs of a process that has died: who is charged, who is given back, who runs alone from then on."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from common.broker.doorbells import Bell
from common.domain.decisions import CANCELLED, RELEASED, WORKER_LOST, Decision, Failure, Release, decide
from common.domain.job import Claimed
from common.domain.retry import DEFAULT_RETRY
from common.settings import Settings
from common.store.connection.psycopg2_session import Hot
from common.store.jobs import failures
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.worker_session import MOST_HELD
from worker.operations.registry import Operation
from worker.shared_memory.metrics import Meter, outcome
from worker.shared_memory.slots import Running, Seat
from worker.tracing import lost_attempts

log = logs.get("worker")
Attempt = tuple[str, int]  # a job, the number of its attempt


@dataclass(frozen=True, slots=True)
class Fate:
    """Why a process ended."""

    failure: Failure = WORKER_LOST
    of: Running | None = None  #: for whom; None: nobody knows which of those that ran it was


class Burial:
    """Settles for the dead."""

    def __init__(self, settings: Settings, operations: Mapping[str, Operation], meter: Meter, bell: Bell) -> None:
        self._max_crashes = settings.max_crashes
        self._operations = operations
        self._meter = meter
        self._bell = bell

    def bury(self, connect: Callable[[], Hot], seats: Sequence[Seat], fate: Fate, ran_s: float) -> None:
        """Give back what a dead process held, charge whom it is due, free its seats; `ran_s`: for how long it had run its job, 0 where nobody knows.

        May be repeated after an error.
        """
        running = [one for seat in seats for one in seat.all_running]
        for seat in seats:
            if seat.worker:
                self._settle(connect(), seat, fate, {(one.job_id, one.attempt) for one in running}, 0.0 if seat.is_together else ran_s)
        if running:
            self._meter.died(fate.failure.error_type)
        for seat in seats:
            seat.leave()

    def _settle(self, hot: Hot, seat: Seat, fate: Fate, running: Collection[Attempt], ran_s: float) -> None:
        # Whatever a job was doing that was asked to stop: it has its end.
        end = Fate(CANCELLED, fate.of) if seat.asked_to_stop else fate
        queues: set[str] = set()
        while True:
            with hot.transaction():
                held = failures.held(hot, seat.worker, MOST_HELD)
                decided = [(job, self._decide(job, end, running)) for job, _ in held]
                failures.write(hot, seat.worker, decided)
                leases.end(hot, seat.worker)
            if not held:
                break
            for (job, queue), (_, decision) in zip(held, decided, strict=True):
                queues.add(queue)
                self._meter.ended(job.operation, queue, outcome(decision), None)
                if (job.id, job.attempt) in running:
                    lost_attempts.record(job, queue, decision.failure, ran_s)
        ran = seat.running
        say = log.warning if ran else log.info
        say("process_buried", worker=seat.worker, pid=seat.pid, job_id=ran.job_id if ran else None, reason=fate.failure.error_type)
        for queue in queues:
            self._bell.ring(queue)

    def _decide(self, job: Claimed, fate: Fate, running: Collection[Attempt]) -> Decision:
        """Decide about a job of a dead process. Of several that ran, and nobody knows which one it was, none is charged."""
        guilty = None if fate.of is None else (fate.of.job_id, fate.of.attempt)
        if (job.id, job.attempt) not in running or (guilty and guilty != (job.id, job.attempt)):
            return Release(RELEASED)
        if guilty is None and len(running) > 1 and not job.alone:
            return Release(fate.failure, alone=fate.failure is not RELEASED)
        known = self._operations.get(job.operation)
        return decide(job, fate.failure, known.spec.retry if known else DEFAULT_RETRY, random.random(), self._max_crashes)  # noqa: S311 - jitter
