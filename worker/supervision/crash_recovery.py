"""What becomes of the jobs of a process that has died: who is charged, who is given back, who runs alone from then on."""

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from common.broker.doorbells import Doorbell
from common.domain.decisions import CANCELLED, RELEASED, WORKER_LOST, Decision, Failure, Release, decide
from common.domain.job import ClaimedJob
from common.domain.retry import DEFAULT_RETRY
from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import failures
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.worker_session import MAX_HELD_JOBS
from worker.operations.registry import Operation
from worker.shared_memory.metrics import SlotMetrics, outcome_label
from worker.shared_memory.slots import Running, Slot
from worker.tracing import lost_attempts

log = logs.get("worker")
Attempt = tuple[str, int]  # a job, the number of its attempt


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a process ended."""

    failure: Failure = WORKER_LOST
    job: Running | None = None  #: for whom; None: nobody knows which of those that ran it was


class CrashRecovery:
    """Settles for the dead."""

    def __init__(self, settings: Settings, operations: Mapping[str, Operation], metrics: SlotMetrics, doorbell: Doorbell) -> None:
        self._max_crashes = settings.max_crashes
        self._operations = operations
        self._metrics = metrics
        self._doorbell = doorbell

    def recover(self, connect: Callable[[], WorkerConnection], slots: Sequence[Slot], exit_reason: ExitReason, ran_s: float) -> None:
        """Give back what a dead process held, charge whom it is due, free its seats; `ran_s`: for how long it had run its job, 0 where nobody knows.

        May be repeated after an error.
        """
        running = [one for slot in slots for one in slot.all_running]
        for slot in slots:
            if slot.worker:
                self._settle(connect(), slot, exit_reason, {(one.job_id, one.attempt) for one in running}, 0.0 if slot.is_async else ran_s)
        if running:
            self._metrics.count_death(exit_reason.failure.error_type)
        for slot in slots:
            slot.free()

    def _settle(self, connection: WorkerConnection, slot: Slot, exit_reason: ExitReason, running: Collection[Attempt], ran_s: float) -> None:
        # Whatever a job was doing that was asked to stop: it has its end.
        end = ExitReason(CANCELLED, exit_reason.job) if slot.is_cancel_requested else exit_reason
        queues: set[str] = set()
        while True:
            with connection.transaction():
                held = failures.lock_held(connection, slot.worker, MAX_HELD_JOBS)
                decided = [(job, self._decide(job, end, running)) for job, _ in held]
                failures.write_decisions(connection, slot.worker, decided)
                leases.end_lease(connection, slot.worker)
            if not held:
                break
            for (job, queue), (_, decision) in zip(held, decided, strict=True):
                queues.add(queue)
                self._metrics.count_attempt(job.operation, queue, outcome_label(decision), None)
                if (job.id, job.attempt) in running:
                    lost_attempts.record(job, queue, decision.failure, ran_s)
        ran = slot.running
        say = log.warning if ran else log.info
        say("process_buried", worker=slot.worker, pid=slot.pid, job_id=ran.job_id if ran else None, reason=exit_reason.failure.error_type)
        for queue in queues:
            self._doorbell.ring(queue)

    def _decide(self, job: ClaimedJob, exit_reason: ExitReason, running: Collection[Attempt]) -> Decision:
        """Decide about a job of a dead process. Of several that ran, and nobody knows which one it was, none is charged."""
        guilty = None if exit_reason.job is None else (exit_reason.job.job_id, exit_reason.job.attempt)
        if (job.id, job.attempt) not in running or (guilty and guilty != (job.id, job.attempt)):
            return Release(RELEASED)
        if guilty is None and len(running) > 1 and not job.isolated:
            return Release(exit_reason.failure, isolated=exit_reason.failure is not RELEASED)
        known = self._operations.get(job.operation)
        return decide(job, exit_reason.failure, known.spec.retry if known else DEFAULT_RETRY, random.random(), self._max_crashes)  # noqa: S311 - jitter
