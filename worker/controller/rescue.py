"""Jobs of workers that are gone, and jobs that everybody has passed by."""

import random
import time
from collections.abc import Mapping

import psycopg2

from common import failpoints
from common.domain.decisions import DEADLINE_EXCEEDED, WORKER_LOST, AttemptOutcome, Decision, Fail, Failure, Release, decide
from common.domain.job import ClaimedJob
from common.domain.operation_spec import OperationSpec
from common.domain.retry import DEFAULT_RETRY
from common.store.connection.psycopg2_session import CONNECTION_ERRORS, WorkerConnection
from common.store.jobs import deadlines, failures
from common.store.queues import queue_state
from common.store.workers import leases
from common.telemetry import logs
from worker.tracing import lost_attempts

log = logs.get("controller")
MAX_WORKERS = 100  # looked at in one tick
MAX_JOBS = 1_000  # given back in one transaction
MAX_STARVED = 100  # raised in one tick, a queue and priority
MAX_STRAYS = 10_000  # floated in one look, a queue and priority
RECENT_S = 60.0  # how far back the look of every tick goes
FULL_SCAN_INTERVAL_S = 60.0  # time between two looks at everything


class Rescue:
    """Gives back what lost workers held, floats strays, ends what is past its deadline."""

    def __init__(self, max_crashes: int) -> None:
        """`max_crashes`: lost attempts that end a job."""
        self._max_crashes = max_crashes
        self._full_scan_at = 0.0

    def lost_workers(self, connection: WorkerConnection, operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        """Charge or give up the jobs of workers whose lease has ended. Returns how many jobs, and their queues."""
        return self._rescue(connection, leases.expired_workers(connection, MAX_WORKERS), operations)

    def orphaned_jobs(self, connection: WorkerConnection, operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        """Do the same for workers that ended before, but hold jobs: a claim that committed after its worker's rescue."""
        return self._rescue(connection, leases.orphaned_workers(connection, MAX_WORKERS), operations)

    def _rescue(self, connection: WorkerConnection, lost: list[int], operations: Mapping[str, OperationSpec]) -> tuple[int, set[str]]:
        count, touched = 0, set[str]()
        for worker in lost:
            try:
                with connection.transaction():
                    if not leases.try_lock_worker(connection, worker):
                        continue
                    held = failures.lock_held(connection, worker, MAX_JOBS)
                    failpoints.reach("sweep.between_select_and_update")
                    failures.write_decisions(connection, worker, self._decide([job for job, _ in held], operations))
                    if len(held) < MAX_JOBS:  # else it keeps its place among the expired, and the next tick takes more
                        leases.end_lease(connection, worker)
            except CONNECTION_ERRORS:
                raise
            except psycopg2.Error as refused:
                held = self._rescue_row_by_row(connection, worker, operations, refused)
            if held:
                log.warning("jobs_rescued", worker=worker, count=len(held))
            for job, queue in held:
                lost_attempts.record(job, queue, WORKER_LOST, 0.0)
            count, touched = count + len(held), touched | {queue for _, queue in held}
        return count, touched

    def _decide(self, held: list[ClaimedJob], operations: Mapping[str, OperationSpec]) -> list[tuple[ClaimedJob, Decision]]:
        """Decide about what a lost process held. Of several nobody knows which one ran: none is charged, and each runs alone from then on."""
        if len(held) > 1:
            return [(job, Release(WORKER_LOST, isolated=True)) for job in held]
        policies = [spec.retry if (spec := operations.get(job.operation)) else DEFAULT_RETRY for job in held]
        return [(job, decide(job, WORKER_LOST, policy, random.random(), self._max_crashes)) for job, policy in zip(held, policies, strict=True)]  # noqa: S311 - jitter

    def fail_past_deadline(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """End what waits past its deadline."""
        failure = DEADLINE_EXCEEDED
        return deadlines.fail_expired(connection, MAX_JOBS, failure.error_type, failure.error_text), set()

    def raise_starved(self, connection: WorkerConnection, waited_s: float) -> tuple[int, set[str]]:
        """Raise what has waited for so long behind others of a better priority."""
        raised = queue_state.raise_starved(connection, waited_s, MAX_STARVED)
        return len(raised), set(raised)

    def _rescue_row_by_row(
        self, connection: WorkerConnection, worker: int, operations: Mapping[str, OperationSpec], refused: psycopg2.Error
    ) -> list[tuple[ClaimedJob, str]]:
        """Give back row by row: one bad row must not keep the others. The bad one fails with a code; the next tick ends the worker."""
        log.error("rescue_refused", worker=worker, reason=str(refused).strip())
        with connection.transaction():
            held = failures.lock_held(connection, worker, MAX_JOBS)
        for job, decision in self._decide([job for job, _ in held], operations):
            try:
                with connection.transaction():
                    failures.write_decisions(connection, worker, [(job, decision)])
            except CONNECTION_ERRORS:
                raise
            except psycopg2.Error as error:
                with connection.transaction():
                    failures.write_decisions(connection, worker, [(job, Fail(Failure(AttemptOutcome.LOST, "rescue_refused", str(error).strip())))])
        return held

    def requeue_strays(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """Float what lies below the low water: of the last minute in each tick, of all times once a minute."""
        now = time.monotonic()
        full = now - self._full_scan_at >= FULL_SCAN_INTERVAL_S
        floated = queue_state.requeue_strays(connection, None if full else RECENT_S, MAX_STRAYS)
        if full:
            self._full_scan_at = now
        if floated:
            log.warning("strays_floated", count=len(floated))
        return len(floated), set(floated)

    @property
    def is_full_scan_due(self) -> bool:
        """Whether the next look for strays goes over everything."""
        return time.monotonic() - self._full_scan_at >= FULL_SCAN_INTERVAL_S
