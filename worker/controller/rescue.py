"""Rescues jobs of lost workers, ends jobs past their deadline, and requeues stray jobs that no claim would find."""

import random
import time
from collections.abc import Mapping

import psycopg2

from common import failpoints
from common.domain.decisions import (
    DEADLINE_EXCEEDED,
    WORKER_LOST,
    AttemptOutcome,
    Decision,
    Fail,
    Failure,
    Release,
    decide,
)
from common.domain.job import ClaimedJob
from common.domain.operation_spec import OperationSpec
from common.domain.retry import DEFAULT_RETRY
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.jobs import deadlines, failures, running_keys
from common.store.jobs.limits import concurrency_keys
from common.store.queues import line_strays, queue_state
from common.store.workers import leases
from common.telemetry import logs
from worker.failures.outcome_log import OutcomeLog
from worker.tracing import lost_attempts

log = logs.get("controller")
MAX_WORKERS = 100  # rescued in one tick
MAX_JOBS = 1_000  # released in one transaction
MAX_STARVED = 100  # raised in one tick, a queue and priority
MAX_STRAYS = 10_000  # requeued in one scan, a queue and priority
RECENT_S = 60.0  # how far back the scan of every tick goes
FULL_SCAN_INTERVAL_S = 60.0  # time between two scans of all jobs
MAX_PARKED_GROUPS = 2_000  # looked at in one tick, about 50 ms


class Rescue:
    """Rescues jobs of lost workers, fails jobs past their deadline, raises starved jobs, requeues strays."""

    def __init__(self, max_crashes: int, outcome_log: OutcomeLog | None = None) -> None:
        """`max_crashes`: lost attempts after which a job fails. `outcome_log` None: failures are not logged."""
        self._max_crashes = max_crashes
        self._outcome_log = outcome_log
        self._full_scan_at = 0.0
        self._parked_group = running_keys.NO_GROUP
        self._limited_group = concurrency_keys.NO_GROUP

    def lost_workers(self, connection: WorkerConnection, operations: Mapping[str, OperationSpec]) -> int:
        """Retry, release or fail the jobs of workers whose lease has ended. Returns how many jobs."""
        return self._rescue(connection, leases.expired_workers(connection, MAX_WORKERS), operations)

    def orphaned_jobs(self, connection: WorkerConnection, operations: Mapping[str, OperationSpec]) -> int:
        """Do the same for workers that were rescued before but hold jobs, by a claim that committed after that."""
        return self._rescue(connection, leases.orphaned_workers(connection, MAX_WORKERS), operations)

    def _rescue(self, connection: WorkerConnection, lost: list[int], operations: Mapping[str, OperationSpec]) -> int:
        count = 0
        for worker in lost:
            try:
                with connection.transaction():
                    if not leases.try_lock_worker(connection, worker):
                        continue
                    held = failures.lock_held(connection, worker, MAX_JOBS)
                    failpoints.reach("rescue.between_lock_and_write")
                    decisions = self._decide([job for job, _ in held], operations)
                    failures.write_decisions(connection, worker, decisions)
                    if len(held) < MAX_JOBS:  # else it stays among the expired, and the next tick rescues more
                        leases.end_lease(connection, worker)
            except DatabaseUnavailable:
                raise
            except psycopg2.Error as error:
                held, decisions = self._rescue_row_by_row(connection, worker, operations, error)
            if held:
                log.warning("jobs_rescued", worker=worker, count=len(held))
            self._record(held, decisions)
            count += len(held)
        return count

    def _record(self, held: list[tuple[ClaimedJob, str]], decisions: list[tuple[ClaimedJob, Decision]]) -> None:
        for (job, queue), (_, decision) in zip(held, decisions, strict=True):
            if self._outcome_log is not None:
                self._outcome_log.attempt_failed(job, queue, decision)
            lost_attempts.record(job, queue, WORKER_LOST, 0.0)

    def _decide(
        self, held: list[ClaimedJob], operations: Mapping[str, OperationSpec]
    ) -> list[tuple[ClaimedJob, Decision]]:
        """Decide about the jobs of a lost process.

        Of several it is unknown which one ran: none is charged, and each is isolated from then on.
        """
        if len(held) > 1:
            return [(job, Release(WORKER_LOST, isolated=True)) for job in held]
        policies = [spec.retry if (spec := operations.get(job.operation)) else DEFAULT_RETRY for job in held]
        jitter = random.random()  # noqa: S311 - spreads retries
        return [
            (job, decide(job, WORKER_LOST, policy, jitter, self._max_crashes))
            for job, policy in zip(held, policies, strict=True)
        ]

    def fail_past_deadline(self, connection: WorkerConnection) -> int:
        """Fail waiting jobs past their deadline. Returns how many."""
        failure = DEADLINE_EXCEEDED
        return deadlines.fail_expired(connection, MAX_JOBS, failure.error_type, failure.error_text)

    def raise_starved(self, connection: WorkerConnection, waited_s: float) -> int:
        """Raise jobs that have been due for `waited_s` seconds behind a better priority. Returns how many."""
        return len(queue_state.raise_starved(connection, waited_s, MAX_STARVED))

    def _rescue_row_by_row(
        self,
        connection: WorkerConnection,
        worker: int,
        operations: Mapping[str, OperationSpec],
        error: psycopg2.Error,
    ) -> tuple[list[tuple[ClaimedJob, str]], list[tuple[ClaimedJob, Decision]]]:
        """Rescue each job in its own transaction, so that one bad row does not block the others.

        The bad one fails with a code. The next tick ends the worker's lease. Returns the jobs with their queues, and
        the decisions about them.
        """
        log.error("rescue_failed", worker=worker, reason=str(error).strip())
        with connection.transaction():
            held = failures.lock_held(connection, worker, MAX_JOBS)
        decisions = list[tuple[ClaimedJob, Decision]]()
        for job, decision in self._decide([job for job, _ in held], operations):
            try:
                with connection.transaction():
                    failures.write_decisions(connection, worker, [(job, decision)])
                decisions.append((job, decision))
            except DatabaseUnavailable:
                raise
            except psycopg2.Error as row_error:
                fail = Fail(Failure(AttemptOutcome.LOST, "rescue_failed", str(row_error).strip()))
                with connection.transaction():
                    failures.write_decisions(connection, worker, [(job, fail)])
                decisions.append((job, fail))
        return held, decisions

    def wake_parked(self, connection: WorkerConnection) -> int:
        """Wake parked jobs whose unique key is free: the process that freed it has died before it woke the next one.

        Each tick looks at the next keys with parked jobs. Returns how many jobs.
        """
        woken, self._parked_group = running_keys.wake_in_turn(connection, self._parked_group, MAX_PARKED_GROUPS)
        limited, self._limited_group = concurrency_keys.wake_in_turn(connection, self._limited_group, MAX_PARKED_GROUPS)
        return woken + limited

    def requeue_strays(self, connection: WorkerConnection) -> int:
        """Requeue strays: in each tick those of the last minute, once a minute all. Returns how many."""
        now = time.monotonic()
        full = now - self._full_scan_at >= FULL_SCAN_INTERVAL_S
        since_s = None if full else RECENT_S
        requeued = queue_state.requeue_strays(connection, since_s, MAX_STRAYS)
        requeued += line_strays.requeue_line_strays(connection, since_s, MAX_STRAYS)
        if full:
            self._full_scan_at = now
        if requeued:
            log.warning("stray_jobs_requeued", count=len(requeued))
        return len(requeued)

    @property
    def is_full_scan_due(self) -> bool:
        """True if the next scan for strays covers all jobs."""
        return time.monotonic() - self._full_scan_at >= FULL_SCAN_INTERVAL_S
