"""The registration of a worker process in the database: connection, id, lease, low-water marks."""

import os
import socket
import time
from collections.abc import Callable, Collection, Sequence

from common.broker.change_notifications import ChangeNotifications
from common.domain.decisions import RELEASED, Release
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.dependencies import parents
from common.store.dependencies.parents import ParentOutcome
from common.store.jobs import failures
from common.store.jobs.fair_claims import QueueClaims
from common.store.jobs.limits import policy_claims
from common.store.jobs.limits.policy_claims import JobsInHand, KnownPolicies
from common.store.jobs.lines import Tenants
from common.store.webhooks import settle as webhook_settle
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.pending_results import PendingResults
from worker.shared_memory.slots import Slot

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S = 0.05  # before the second attempt to connect; doubles up to `reconnect_max_delay_seconds`
RELEASE_BATCH_JOBS = 1_000  # released in one transaction


class WorkerSession:
    """A worker's registration: connection, id, lease.

    After a lost connection it registers under a new id. It then releases the jobs that the old id may have claimed in a
    transaction whose outcome is unknown.
    """

    def __init__(self, settings: Settings, slot: Slot, queues: Sequence[str], operations: Sequence[str]) -> None:
        """`operations`: the names, with versions, that this worker claims."""
        self._settings = settings
        self._slot = slot
        self.queues = queues  #: the queues that it serves
        self._operations = operations
        self._tenants = Tenants(settings.default_max_running_jobs)
        self._claims: dict[str, QueueClaims] = {}
        self._marks_published_at = 0.0
        self._connection: WorkerConnection | None = None
        self.worker = 0  #: the id, 0 while it is not registered
        self.jobs_in_hand: Callable[[str], JobsInHand] = lambda _: JobsInHand()  #: of a queue
        #: Ids of jobs that ran on over the last reconnect and are still this worker's.
        self.carried_over: set[str] = set()
        self.change_notifications: ChangeNotifications | None = None  #: None: changes are not published

    @property
    def connection(self) -> WorkerConnection:
        """The connection; opened and registered when there is none. Raises DatabaseUnavailable."""
        if self._connection is None:
            self._open()
        assert self._connection is not None  # noqa: S101 - _open sets it or raises
        return self._connection

    @property
    def is_lease_lost(self) -> bool:
        """True if the parent has found that the lease has ended."""
        return self.worker != 0 and self._slot.worker == 0

    @property
    def is_cancel_requested(self) -> bool:
        """True if a client has cancelled the job that runs now."""
        return self._slot.is_cancel_requested

    def claims(self, queue: str) -> QueueClaims:
        """Return what this worker process knows of a queue, for a claim.

        Publishes all low-water marks to the parent twice a heartbeat interval.
        """
        self._slot.mark_claim()
        now = time.monotonic()
        if now - self._marks_published_at > self._settings.heartbeat_seconds / 2:
            self._marks_published_at = now
            low = {name: known.low_water_marks for name, known in self._claims.items()}
            lines = {name: known.line_marks for name, known in self._claims.items()}
            self._slot.publish_low_water_marks(
                {name: marks for name, marks in low.items() if marks},
                {name: marks for name, marks in lines.items() if marks},
            )
        if queue not in self._claims:
            look_s = self._settings.fair_share_look_milliseconds / 1000
            self._claims[queue] = QueueClaims(queue, self._tenants, look_s, self.jobs_in_hand)
        return self._claims[queue]

    def policies(self, queue: str) -> KnownPolicies:
        """Return the policies of a queue as the last claim has read them."""
        known = self._claims.get(queue)
        return KnownPolicies() if known is None else known.policies

    def give_back_slots(self, queue: str) -> None:
        """Give back what this process has of the limit of a queue. Raises DatabaseUnavailable."""
        if self.policies(queue).has_slots:
            policy_claims.give_back_slots(self.connection, self.worker, queue)

    def ran(self, queue: str, job: ClaimedJob, seconds: float) -> None:
        """Count what an ended attempt took of its tenant's share in a queue."""
        if self._tenants.several and queue in self._claims:
            self._claims[queue].share.ran(job.tenant, seconds)
        self.ended(job)

    def ended(self, job: ClaimedJob) -> None:
        """Count a job as no longer running here. Its settle follows."""
        if self._tenants.has_running_quotas:
            self._tenants.ended(job.tenant)

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store the progress of an attempt: a fraction from 0 to 1 and a text, None for neither.

        Returns False once the job is another worker's. Returns True while the database is unavailable.
        """
        if self._connection is None:
            return True
        try:
            is_owned = leases.report_progress(self._connection, self.worker, job_id, attempt, fraction, text)
        except DatabaseUnavailable:
            return True  # the settle finds out who owns the job
        if is_owned and self.change_notifications is not None:
            self.change_notifications.publish([job_id])
        return is_owned

    def read_parents(self, job_id: str) -> list[ParentOutcome] | None:
        """Return what the parents of a job came to. None while the database is unavailable."""
        try:
            return parents.parents_of(self.connection, job_id, self._settings.max_parent_results_bytes)
        except DatabaseUnavailable:
            return None

    def publish_finished(self, pending: PendingResults) -> None:
        """Publish the jobs whose attempts have ended, for waiting clients; count them as settled. After the commit."""
        self._tenants.settled()
        if self.change_notifications is not None and not self.change_notifications.paused:
            self.change_notifications.publish([*pending.results.ids, *(job.id for job, _ in pending.decisions)])

    def _open(self) -> None:
        connection = WorkerConnection(self._settings, "worker", by_index=True)
        try:
            worker = leases.register(
                connection,
                self._settings.lease_seconds,
                os.getpid(),
                self._settings.pod_name or socket.gethostname(),
                self.queues,
                self._operations,
            )
        except BaseException:
            connection.close()
            raise
        self._connection, self.worker = connection, worker
        self._claims.clear()
        self._tenants.forget_running()
        self._slot.publish_low_water_marks({})
        self._slot.register(worker)
        log.debug("worker_registered", worker=worker)

    def stop_claiming(self, operations: Collection[str]) -> None:
        """Stop claiming some operations: the async executor of this process claims them. Raises DatabaseUnavailable."""
        self._operations = [name for name in self._operations if name not in operations]
        leases.set_operations(self.connection, self.worker, self._operations)

    def reregister(self) -> None:
        """Close the connection after the lease has ended: the next use of it registers under a new id."""
        log.warning("lease_lost", worker=self.worker)
        self.close()

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self.worker = None, 0

    def reconnect(self, pending: PendingResults, running: Sequence[ClaimedJob] = ()) -> int:
        """Register under a new id, settle `pending` under the old one, and release all other jobs of the old one.

        Returns how many of the pending results were stored; the others were fenced. Jobs in `running` move to the new
        id; `carried_over` has those that were still this worker's. Waits until the database is available, with
        exponential backoff and no limit: the results are there, and only the end of the lease can fence them.
        """
        old_ids, pause_s = [self.worker], INITIAL_RETRY_PAUSE_S
        self.close()
        while True:
            try:
                self._open()
                return self._take_over(old_ids, pending, running)
            except DatabaseUnavailable as error:
                log.warning("database_unavailable", reason=str(error).strip(), pause_s=pause_s, worker=old_ids[0])
                if self.worker:
                    old_ids.append(self.worker)  # its take-over may have been committed without an answer
                self.close()
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, self._settings.reconnect_max_delay_seconds)

    def _take_over(self, old_ids: list[int], pending: PendingResults, running: Sequence[ClaimedJob]) -> int:
        old_id = old_ids[0]
        if not old_id:
            return 0
        connection, decisions = self.connection, pending.decisions
        with connection.transaction():
            stored = failures.write_decisions(connection, old_id, decisions)
            stored |= webhook_settle.settle(connection, old_id, pending.results)
            self.carried_over = leases.take_over(
                connection, self.worker, old_ids, [(job.id, job.attempt) for job in running]
            )
            if self.carried_over:
                policy_claims.move_slots(connection, self.worker, old_ids)
        if decisions:  # the lost transaction may have been committed
            job_ids, attempts = [job.id for job, _ in decisions], [job.attempt for job, _ in decisions]
            stored |= failures.settled_before(connection, old_id, job_ids, attempts)
        for worker in old_ids:
            release_all(connection, worker)
        log.info("reconnected", worker=self.worker, before=old_id, settled=len(stored))
        return len(stored)


def release_all(connection: WorkerConnection, worker: int) -> list[str]:
    """End the lease of a worker and release all its jobs; returns their queues, one entry a job.

    Each step is a transaction of up to 1,000 jobs. Interrupted, the call can be repeated.
    """
    queues: list[str] = []
    while True:
        with connection.transaction():
            jobs = failures.lock_held(connection, worker, RELEASE_BATCH_JOBS)
            failures.write_decisions(connection, worker, [(job, Release(RELEASED)) for job, _ in jobs])
            leases.end_lease(connection, worker)
        queues += [queue for _, queue in jobs]
        if len(jobs) < RELEASE_BATCH_JOBS:
            return queues
