"""Settlement: stores how the attempts of one thread ended, together with its next claim, and recovers from errors."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import psycopg2

from common import failpoints
from common.domain.decisions import RELEASED, AttemptOutcome, AttemptUsage, Fail, Failure, Release, decide
from common.domain.job import ClaimedJob
from common.domain.retry import DEFAULT_RETRY
from common.domain.states import State
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.store.jobs import claims, failures, running_keys
from common.store.jobs.claims import Results
from common.store.jobs.limits import concurrency_keys
from common.telemetry import logs
from worker.execution.attempt import printable
from worker.execution.pending_results import PendingResults
from worker.execution.worker_session import WorkerSession
from worker.failures.outcome_log import OutcomeLog
from worker.operations.installed import InstalledOperation
from worker.shared_memory.metrics import OutcomeLabel, SlotMetrics, outcome_label

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
    ) -> None:
        self._settings = settings
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
            if pending.has_keys or any(job.extras is not None for job in jobs):
                ready = self._share_keys(queue, pending, jobs)
                if ready is None or (jobs and not ready):  # all are parked: others may be behind them
                    continue
                jobs = ready
            self._metrics.count_claim(queue, jobs)
            if self.spans is not None:
                self.spans.record_claim(queue, jobs, began_ns, self._metrics)
            return jobs

    def _settle_before_limits(self, queue: str) -> None:
        """Settle what needs several statements: so that a claim that locks a bucket is one."""
        if self._session.policies(queue).has_rate and (self.pending.decisions or self.pending.has_keys):
            self.settle()

    def _settle_and_claim(self, queue: str, limit: int) -> tuple[int, list[ClaimedJob]]:
        """Do it once; returns how many attempts were stored, and the claimed jobs."""
        session, pending = self._session, self.pending
        queue_claims = session.claims(queue)
        connection, worker, results, stored = session.connection, session.worker, pending.results, 0
        if not pending.decisions and not pending.has_keys:
            return queue_claims.settle_and_claim(connection, worker, results, limit)
        with connection.transaction():
            if pending.has_keys:  # the claim finds the jobs that wait for them
                stored, results = len(self._store(pending)), Results()
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
        if not self.pending:
            return
        pending, began_ns = self.pending, time.time_ns()
        try:
            failpoints.reach("settle.before_commit")
            stored = self._write(pending)
            failpoints.reach("settle.after_commit")
            self._count_fenced(len(pending) - len(stored))
            self._mark_settled(began_ns)
            self._wake(pending)
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

    def _share_keys(self, queue: str, freed: PendingResults, jobs: list[ClaimedJob]) -> list[ClaimedJob] | None:
        """Return the claimed jobs that may run as their keys decide; park the others. None: the connection was lost."""
        session, policies = self._session, self._session.policies(queue)
        try:
            ready = running_keys.share(session.connection, session.worker, freed.running_keys, jobs)
            if policies.limits_keys:
                ready, wait_s = concurrency_keys.admit(session.connection, session.worker, queue, ready)
                policies.wait(wait_s)
            if others := freed.concurrency_keys - {job.concurrency_key for job in jobs}:
                policies.wait(concurrency_keys.wake(session.connection, others))
        except DatabaseUnavailable as error:
            self.connection_lost(error)
            return None
        return ready

    def _wake(self, pending: PendingResults) -> None:
        """Wake jobs that are parked for the keys that ended attempts held."""
        if pending.running_keys:
            running_keys.wake(self._session.connection, pending.running_keys)
        if pending.concurrency_keys:
            concurrency_keys.wake(self._session.connection, pending.concurrency_keys)

    def _write(self, pending: PendingResults) -> set[str]:
        """Store ended attempts in one transaction; returns the ids of the jobs whose attempts were not fenced."""
        with self._session.connection.transaction():
            return self._store(pending)

    def _store(self, pending: PendingResults) -> set[str]:
        """Do the same in the caller's transaction."""
        session = self._session
        stored = failures.write_decisions(session.connection, session.worker, pending.decisions)
        return stored | claims.settle(session.connection, session.worker, pending.results)

    def _mark_settled(self, began_ns: int, *, in_handler: bool = False) -> None:
        """Publish the settled attempts and clear `pending`. `began_ns`: start of the settle, Unix time in ns."""
        if self.spans is not None and self.pending.spans:
            self.spans.record_settle(self.pending.spans, began_ns, in_handler=in_handler)
        self._session.publish_finished(self.pending)
        self.pending = PendingResults()

    def _settle_row_by_row(self, error: psycopg2.Error) -> None:
        """Store each attempt alone after PostgreSQL rejected the batch, as one bad row must not fail the others."""
        log.error("settle_failed", reason=str(error).strip(), worker=self._session.worker)
        pending, began_ns = self.pending, time.time_ns()
        try:
            fenced = _write_each(self._session, pending, self._settings.max_error_characters)
        except DatabaseUnavailable as lost:
            self.connection_lost(lost)
        else:
            self._count_fenced(fenced)
            self._mark_settled(began_ns)

    def _count_fenced(self, fenced: int) -> None:
        if fenced > 0:
            self._metrics.count_fenced(fenced)
            log.warning("results_fenced", count=fenced, worker=self._session.worker)


def _write_each(session: WorkerSession, pending: PendingResults, max_error_characters: int) -> int:
    """Store each attempt in its own transaction; an attempt that PostgreSQL rejects fails with `result_not_stored`.

    Returns the number of fenced attempts. Raises DatabaseUnavailable; attempts stored before that stay stored.
    """
    fenced = 0
    for job, result, execution_s in pending.results.rows():
        single = Results()
        single.add(job, result, execution_s)
        write = partial(claims.settle, session.connection, session.worker, single)
        fenced += not _write_or_fail(session, job, write, max_error_characters)
    for job, decision in pending.decisions:
        write = partial(failures.write_decisions, session.connection, session.worker, [(job, decision)])
        fenced += not _write_or_fail(session, job, write, max_error_characters)
    return fenced


def _write_or_fail(
    session: WorkerSession, job: ClaimedJob, write: Callable[[], set[str]], max_error_characters: int
) -> set[str]:
    try:
        return write()
    except DatabaseUnavailable:
        raise
    except psycopg2.Error as error:
        reason = printable(str(error).strip(), max_error_characters)
        decision = Fail(Failure(AttemptOutcome.PERMANENT, "result_not_stored", reason))
        return failures.write_decisions(session.connection, session.worker, [(job, decision)])
