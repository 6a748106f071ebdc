"""Recovery of jobs whose process has ended: one attempt is charged, the others are released or isolated."""

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
from worker.execution.worker_session import RELEASE_BATCH_JOBS
from worker.failures.outcome_log import OutcomeLog
from worker.operations.installed import InstalledOperation
from worker.shared_memory.metrics import SlotMetrics, outcome_label
from worker.shared_memory.slots import RunningAttempt, Slot
from worker.tracing import lost_attempts

log = logs.get("worker")
AttemptKey = tuple[str, int]  # a job id, the number of its attempt


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why a process ended."""

    failure: Failure = WORKER_LOST
    attempt: RunningAttempt | None = None  #: that the failure belongs to; None: unknown which of those that ran


class CrashRecovery:
    """Settles the jobs of ended processes in their place."""

    def __init__(
        self, settings: Settings, operations: Mapping[str, InstalledOperation], metrics: SlotMetrics, doorbell: Doorbell
    ) -> None:
        self._max_crashes = settings.max_crashes
        self._operations = operations
        self._metrics = metrics
        self._doorbell = doorbell
        self.log = OutcomeLog(settings)

    def recover(
        self, connect: Callable[[], WorkerConnection], slots: Sequence[Slot], exit_reason: ExitReason, ran_s: float
    ) -> None:
        """Release the jobs that an ended process held, charge the attempt that failed, free the process's slots.

        `ran_s`: seconds for which its job had run, 0 if unknown. Safe to repeat after an error.
        """
        running = [attempt for slot in slots for attempt in slot.all_running]
        for slot in slots:
            if slot.worker:
                self._settle(
                    connect(),
                    slot,
                    exit_reason,
                    {(attempt.job_id, attempt.attempt) for attempt in running},
                    0.0 if slot.is_async else ran_s,
                )
        if running:
            self._metrics.count_process_death(exit_reason.failure.error_type)
        for slot in slots:
            slot.free()

    def _settle(
        self,
        connection: WorkerConnection,
        slot: Slot,
        exit_reason: ExitReason,
        running: Collection[AttemptKey],
        ran_s: float,
    ) -> None:
        # A job that was asked to stop ends CANCELLED, however its process ended.
        reason = ExitReason(CANCELLED, exit_reason.attempt) if slot.is_cancel_requested else exit_reason
        queues: set[str] = set()
        while True:
            with connection.transaction():
                held = failures.lock_held(connection, slot.worker, RELEASE_BATCH_JOBS)
                decisions = [(job, self._decide(job, reason, running)) for job, _ in held]
                failures.write_decisions(connection, slot.worker, decisions)
                leases.end_lease(connection, slot.worker)
            if not held:
                break
            for (job, queue), (_, decision) in zip(held, decisions, strict=True):
                queues.add(queue)
                self._metrics.count_attempt(job.operation, queue, outcome_label(decision), None)
                self.log.attempt_failed(job, queue, decision)
                if (job.id, job.attempt) in running:
                    lost_attempts.record(job, queue, decision.failure, ran_s)
        attempt = slot.running
        say = log.warning if attempt else log.info
        say(
            "process_recovered",
            worker=slot.worker,
            pid=slot.pid,
            job_id=attempt.job_id if attempt else None,
            reason=exit_reason.failure.error_type,
            cause=exit_reason.failure.error_text,
        )
        for queue in queues:
            self._doorbell.ring(queue)

    def _decide(self, job: ClaimedJob, exit_reason: ExitReason, running: Collection[AttemptKey]) -> Decision:
        """Decide about a job of an ended process.

        If several jobs ran and the culprit is unknown, none is charged unless it was isolated before.
        """
        culprit = None if exit_reason.attempt is None else (exit_reason.attempt.job_id, exit_reason.attempt.attempt)
        if (job.id, job.attempt) not in running or (culprit and culprit != (job.id, job.attempt)):
            return Release(RELEASED)
        if culprit is None and len(running) > 1 and not job.isolated:
            return Release(exit_reason.failure, isolated=exit_reason.failure is not RELEASED)
        operation = self._operations.get(job.operation)
        policy = operation.spec.retry if operation else DEFAULT_RETRY
        jitter = random.random()  # noqa: S311 - spreads retries
        return decide(job, exit_reason.failure, policy, jitter, self._max_crashes)
