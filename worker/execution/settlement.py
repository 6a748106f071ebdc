"""Settlement: stores how the attempts of one thread ended, together with its next claim, and recovers from errors."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg2

from common import failpoints
from common.broker.doorbells import Doorbell
from common.domain.decisions import RELEASED, AttemptUsage, Failure, Release, decide
from common.domain.job import ClaimedJob
from common.domain.retry import DEFAULT_RETRY
from common.domain.states import State
from common.domain.webhooks.events import QUEUE
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.store.jobs import claims, failures, running_keys
from common.store.jobs.limits import concurrency_keys
from common.store.workers.results import Results
from common.telemetry import logs
from worker.execution.pending_results import PendingResults, write_all, write_each
from worker.execution.worker_session import WorkerSession
from worker.failures.outcome_log import OutcomeLog
from worker.operations.installed import InstalledOperation
from worker.shared_memory.metrics import OutcomeLabel, SlotMetrics, outcome_label
from worker.workflows.waiting_jobs import WaitingJobs

if TYPE_CHECKING:  # imported only while tracing is on
    from worker.tracing.spans import Spans

log = logs.get("worker")
#: Pending results are settled above this size: a settle takes seven times their size in memory (half a GiB for sixty
#: results of a MiB).
MAX_RESULT_CHARACTERS = 4_000_000


class Settler:
    """Settles and claims for one thread. `pending` has the attempts that have ended and are not settled yet."""

    def __init__(
        self,
        settings: Settings,
        session: WorkerSession,
        metrics: SlotMetrics,
        operations: Mapping[str, InstalledOperation],
        doorbell: Doorbell,
    ) -> None:
        self._settings, self._doorbell = settings, doorbell  # for jobs that a settle lets run
        self._session = session
        self._metrics = metrics
        self._operations = operations
        self.log = OutcomeLog(settings)
        self.pending = PendingResults()
        self.spans: Spans | None = None  #: None: tracing is off
        #: Returns the jobs that run on over a reconnect.
        self.running: Callable[[], Sequence[ClaimedJob]] = tuple
        #: Called once the session has a new id; only jobs that `running` returned may still be ours.
        self.on_reconnect: Callable[[], None] = lambda: None
        self._waiting_jobs = WaitingJobs()

    def settle_and_claim(self, queue: str, limit: int) -> list[ClaimedJob]:
        """Settle what has ended and claim up to `limit` jobs of a queue, in one transaction. Waits for the database."""
        self._settle_before_limits(queue)
        while True:
            pending, began_ns = self.pending, time.time_ns()
            try:
                failpoints.reach("settle.before_commit")
                stored, jobs = self._settle_and_claim(queue, limit)
                failpoints.reach("settle.after_commit")
                failpoints.reach("claim.after_commit")
            except DatabaseUnavailable as error:
                self.connection_lost(error)
                continue
            except psycopg2.Error as error:
                if not pending:
                    return self._claim_refused(queue, error)
                self._settle_row_by_row(error)
                continue
            self._count_fenced(len(pending) - stored)
            self._mark_settled(began_ns)
            ready = self._ready(queue, pending, jobs)
            if ready is None:
                continue
            self._metrics.count_claim(queue, ready)
            if self.spans is not None:
                self.spans.record_claim(queue, ready, began_ns, self._metrics)
            return ready

    def _ready(self, queue: str, settled: PendingResults, jobs: list[ClaimedJob]) -> list[ClaimedJob] | None:
        """Return the claimed jobs that may run, after the commit that settled others.

        None: to claim again, because all are parked, a job that waited may be claimed, or the connection was lost.
        """
        try:
            ready = jobs
            if settled.has_keys or any(job.extras is not None for job in jobs):
                ready = self._share_keys(queue, settled, jobs)
                if jobs and not ready:
                    return None
            return None if self._unblock(queue, len(ready)) and not ready else ready
        except DatabaseUnavailable as error:
            self.connection_lost(error)
            return None

    def _unblock(self, queue: str, claimed: int) -> bool:
        """Ask for jobs that have waited, and ring for those that may run. Return True if the next claim may find some.

        `claimed`: jobs of the queue that were claimed after the settle. Raises DatabaseUnavailable.
        """
        waiting_jobs = self._waiting_jobs
        waiting_jobs.ring(self._doorbell.ring, queue, claimed)
        may_claim = waiting_jobs.ask(self._session.connection, queue)
        if claimed or not may_claim:
            waiting_jobs.ring(self._doorbell.ring)
        return may_claim

    def _settle_before_limits(self, queue: str) -> None:
        """Settle what needs several statements: so that a claim that locks a bucket is one."""
        if self._session.policies(queue).has_rate and (self.pending.decisions or self.pending.has_consequences):
            self.settle()

    def _settle_and_claim(self, queue: str, limit: int) -> tuple[int, list[ClaimedJob]]:
        """Do it once; returns how many attempts were stored, and the claimed jobs."""
        session, pending = self._session, self.pending
        queue_claims = session.claims(queue)
        connection, worker, results, stored = session.connection, session.worker, pending.results, 0
        if not pending.decisions and not pending.has_consequences:
            return queue_claims.settle_and_claim(connection, worker, results, limit)
        with connection.transaction():
            if pending.has_consequences:  # the claim finds the jobs that wait for them
                stored, results = len(write_all(connection, worker, pending)), Results()
                self._wake(pending)
            else:
                stored = len(failures.write_decisions(connection, worker, pending.decisions))
            settled, jobs = queue_claims.settle_and_claim(connection, worker, results, limit)
        return stored + settled, jobs

    def _claim_refused(self, queue: str, error: psycopg2.Error) -> list[ClaimedJob]:
        """Log that PostgreSQL refuses a claim, and claim nothing: it would refuse it again at once."""
        log.error("claim_failed", queue=queue, reason=str(error).strip(), worker=self._session.worker)
        return []

    def settle(self) -> None:
        """Settle what has ended and claim nothing. Waits until the database is available."""
        if self.pending:
            self._settle()
            self._waiting_jobs.ring(self._doorbell.ring)

    def _settle(self) -> None:
        pending, began_ns = self.pending, time.time_ns()
        try:
            failpoints.reach("settle.before_commit")
            stored = self._write(pending)
            failpoints.reach("settle.after_commit")
            self._count_fenced(len(pending) - len(stored))
            self._mark_settled(began_ns)
            self._wake(pending)
            self._waiting_jobs.ask(self._session.connection)
        except DatabaseUnavailable as error:
            self.connection_lost(error)
        except psycopg2.Error as error:
            self._settle_row_by_row(error)

    def settle_in_signal_handler(self) -> None:
        """Try once to settle what has ended, without waiting. On an error it stays pending and is settled later."""
        try:
            began_ns = time.time_ns()
            self._write(self.pending)
            self._mark_settled(began_ns, in_handler=True)
            self._waiting_jobs.ask(self._session.connection)
        except psycopg2.Error:
            pass

    def add(
        self,
        job: ClaimedJob,
        queue: str,
        operation: InstalledOperation | None,
        result: str | Failure,
        seconds: float,
        *,
        is_cancelled: bool = False,
    ) -> OutcomeLabel:
        """Add an ended attempt to `pending`: its result as JSON text, or its failure.

        `is_cancelled`: its client has cancelled the job. Returns the outcome for the metrics.
        """
        self.pending.add_keys(job)
        self._session.ran(queue, job, seconds)
        if isinstance(result, str):
            self.pending.results.add(job, result, seconds)
            if self.log.has_summaries:
                self.log.job_finished(job, queue, State.CANCELLED if is_cancelled else State.SUCCESS, seconds)
            return OutcomeLabel.CANCELLED if is_cancelled else OutcomeLabel.SUCCESS
        policy = operation.spec.retry if operation else DEFAULT_RETRY
        failure = replace(result, usage=AttemptUsage(seconds))
        decision = decide(job, failure, policy, random.random(), self._settings.max_crashes)  # noqa: S311 - jitter
        self.pending.decisions.append((job, decision))
        self.log.attempt_failed(job, queue, decision, is_cancelled=is_cancelled)
        return OutcomeLabel.CANCELLED if is_cancelled else outcome_label(decision)

    def release(self, queue: str, jobs: Sequence[ClaimedJob]) -> None:
        """Release jobs of a queue that have not started, uncharged, with the next settle."""
        for job in jobs:
            self.pending.decisions.append((job, Release(RELEASED)))
            self._session.ended(job)
            self._metrics.count_attempt(job.operation, queue, OutcomeLabel.RELEASED, None)

    def may_run(self, job: ClaimedJob) -> bool:
        """Read an input that was too large for the claim, and take the unique key that is held while the job runs.

        Returns False if another job holds the key, for which this one was parked, or if the connection was lost: then
        the job is no longer this worker's.
        """
        extras = job.extras
        if extras is None or (extras.running_key is None and not extras.is_input_large):
            return True
        session = self._session
        try:
            if extras.is_input_large:
                job.input = claims.read_input(session.connection, job.id)
            if extras.running_key is None:
                return True
            return running_keys.take(session.connection, session.worker, job, extras.running_key)
        except DatabaseUnavailable as error:
            self.connection_lost(error)
            return False

    def connection_lost(self, error: Exception) -> None:
        """Log the lost connection and reconnect."""
        log.warning("database_unavailable", reason=str(error).strip(), worker=self._session.worker)
        self.reconnect()

    def reconnect(self) -> None:
        """Register under a new id and settle what had ended under the old one. Waits for the database."""
        pending, began_ns = self.pending, time.time_ns()
        self._count_fenced(len(pending) - self._session.reconnect(pending, self.running()))
        self._mark_settled(began_ns)
        self.on_reconnect()

    def discard_pending(self) -> None:
        """Drop the attempts that have ended and are not settled: their jobs run again."""
        self.pending = PendingResults()

    def _share_keys(self, queue: str, freed: PendingResults, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Return the claimed jobs that may run as their keys decide; park the others. Raises DatabaseUnavailable."""
        session, policies = self._session, self._session.policies(queue)
        ready = running_keys.share(session.connection, session.worker, freed.running_keys, jobs)
        if policies.limits_keys:
            ready, wait_s = concurrency_keys.admit(session.connection, session.worker, queue, ready)
            policies.wait(wait_s)
        if others := freed.concurrency_keys - {job.concurrency_key for job in jobs}:
            policies.wait(concurrency_keys.wake(session.connection, others))
        return ready

    def _wake(self, pending: PendingResults) -> None:
        """Wake jobs that are parked for the keys that ended attempts held."""
        if pending.running_keys:
            running_keys.wake(self._session.connection, pending.running_keys)
        if pending.concurrency_keys:
            concurrency_keys.wake(self._session.connection, pending.concurrency_keys)

    def _write(self, pending: PendingResults) -> set[str]:
        """Store ended attempts in one transaction; returns the ids of the jobs whose attempts were not fenced."""
        session = self._session
        with session.connection.transaction():
            return write_all(session.connection, session.worker, pending)

    def _mark_settled(self, began_ns: int, *, in_handler: bool = False) -> None:
        """Publish the settled attempts and clear `pending`. `began_ns`: start of the settle, Unix time in ns."""
        if self.spans is not None and self.pending.spans:
            self.spans.record_settle(self.pending.spans, began_ns, in_handler=in_handler)
        self._session.publish_finished(self.pending)
        self._waiting_jobs.settled(self.pending.results, self.pending.decisions)
        if self.pending.results.have_webhook:
            self._doorbell.ring(QUEUE)
        self.pending = PendingResults()

    def _settle_row_by_row(self, error: psycopg2.Error) -> None:
        """Store each attempt alone after PostgreSQL rejected the batch, as one bad row must not fail the others."""
        log.error("settle_failed", reason=str(error).strip(), worker=self._session.worker)
        pending, began_ns = self.pending, time.time_ns()
        try:
            session, most = self._session, self._settings.max_error_characters
            fenced = write_each(session.connection, session.worker, pending, most)
        except DatabaseUnavailable as lost:
            self.connection_lost(lost)
        else:
            self._count_fenced(fenced)
            self._mark_settled(began_ns)

    def _count_fenced(self, fenced: int) -> None:
        if fenced > 0:
            self._metrics.count_fenced(fenced)
            log.warning("results_fenced", count=fenced, worker=self._session.worker)
