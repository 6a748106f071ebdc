"""One worker process as the database knows it: its connection, its identity, its marks."""

import os
import socket
import time
from collections.abc import Collection, Sequence

from common.broker.change_feed import ChangeFeed
from common.domain.decisions import RELEASED, Release
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import CONNECTION_ERRORS, WorkerConnection
from common.store.jobs import claims, failures
from common.store.jobs.claims import LowWaterMarks
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.pending_results import PendingResults
from worker.shared_memory.slots import Slot

log = logs.get("worker")
INITIAL_RETRY_PAUSE_S = 0.05  # before the second try to connect; doubles up to the setting's cap
MAX_HELD_JOBS = 1_000  # jobs given back in one transaction


class WorkerSession:
    """Holds jobs under an id of its own. After a lost connection it comes back under a new one: what the old one may have
    claimed without learning of it is given back.
    """

    def __init__(self, settings: Settings, slot: Slot, queues: Sequence[str], operations: Sequence[str]) -> None:
        self._settings = settings
        self._slot = slot
        self.queues = queues  #: that it serves
        self._operations = operations
        self._marks: dict[str, LowWaterMarks] = {}
        self._marks_published_at = 0.0
        self._connection: WorkerConnection | None = None
        self.worker = 0
        self.carried_over: set[str] = set()  #: what went on running over the last reconnect, and is ours yet
        self.change_feed: ChangeFeed | None = None  #: None: nobody is told of what has changed

    @property
    def connection(self) -> WorkerConnection:
        """The connection; raises an AWAY error when there is none."""
        if self._connection is None:
            self._open()
        assert self._connection is not None  # noqa: S101 - _open sets it or raises
        return self._connection

    @property
    def is_lease_lost(self) -> bool:
        """Whether the parent found that the lease had ended."""
        return self.worker != 0 and self._slot.worker == 0

    @property
    def asked_to_stop(self) -> bool:
        """Whether a client wants what runs now to stop."""
        return self._slot.is_cancel_requested

    def marks(self, queue: str) -> LowWaterMarks:
        """Return the low-water marks of a queue, and hand all of them to the parent now and then."""
        self._slot.mark_claim()
        now = time.monotonic()
        if now - self._marks_published_at > self._settings.heartbeat_seconds / 2:
            self._marks_published_at = now
            low = {q: {str(p): pos for p, pos in m.claimable_at.items() if pos != "-infinity"} for q, m in self._marks.items()}
            self._slot.publish_low_water_marks({q: marks for q, marks in low.items() if marks})
        return self._marks.setdefault(queue, LowWaterMarks())

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store how far an attempt is. Returns False once the job is another's; True where the database cannot say."""
        if self._connection is None:
            return True
        try:
            ours = leases.report_progress(self._connection, self.worker, job_id, attempt, fraction, text)
        except CONNECTION_ERRORS:
            return True  # the settle will find out
        if ours and self.change_feed is not None:
            self.change_feed.publish([job_id])
        return ours

    def publish_finished(self, pending: PendingResults) -> None:
        """Tell who waits for jobs that attempts have ended, after the commit."""
        if self.change_feed is not None and not self.change_feed.paused:
            self.change_feed.publish([*pending.results.ids, *(job.id for job, _ in pending.decisions)])

    def _open(self) -> None:
        connection = WorkerConnection(self._settings, "worker", by_index=True)
        try:
            worker = leases.register(connection, self._settings.lease_seconds, os.getpid(), socket.gethostname(), self.queues, self._operations)
        except BaseException:
            connection.close()
            raise
        self._connection, self.worker = connection, worker
        self._marks.clear()
        self._slot.publish_low_water_marks({})
        self._slot.register(worker)
        log.debug("worker_registered", worker=worker)

    def stop_claiming(self, operations: Collection[str]) -> None:
        """Know these no longer: somebody else in this process claims them. Raises what is in AWAY."""
        self._operations = [one for one in self._operations if one not in operations]
        leases.set_operations(self.connection, self.worker, self._operations)

    def reregister(self) -> None:
        """Take a new id where the lease of the old one has ended."""
        log.warning("lease_lost", worker=self.worker)
        self.close()

    def close(self) -> None:
        """Leave the connection; whatever was under way is rolled back."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self.worker = None, 0

    def reconnect(self, pending: PendingResults, running: Sequence[ClaimedJob] = ()) -> int:
        """Register under a new id, settle under the old one what had ended, release everything else that it held.

        Returns how many of the pending results stood; the others were fenced. Jobs that are `running` move to the new id;
        `carried_over` tells which of them were still this process's. Waits for the database as long as it takes: the work is done, and
        only the end of the lease can take it away.
        """
        old_ids, pause_s = [self.worker], INITIAL_RETRY_PAUSE_S
        self.close()
        while True:
            try:
                self._open()
                return self._take_over(old_ids, pending, running)
            except CONNECTION_ERRORS as error:
                log.warning("database_away", reason=str(error).strip(), pause_s=pause_s, worker=old_ids[0])
                old_ids += [self.worker] if self.worker else []  # a take-over by this id may have committed without an answer
                self.close()
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, self._settings.reconnect_cap_seconds)

    def _take_over(self, old_ids: list[int], pending: PendingResults, running: Sequence[ClaimedJob]) -> int:
        old = old_ids[0]
        if not old:
            return 0
        connection, decisions = self.connection, pending.decisions
        with connection.transaction():
            stood = failures.write_decisions(connection, old, decisions)
            stood |= claims.settle(connection, old, pending.results)
            self.carried_over = leases.take_over(connection, self.worker, old_ids, [(job.id, job.attempt) for job in running])
        if decisions:
            stood |= claims.settled_before(connection, old, [job.id for job, _ in decisions], [job.attempt for job, _ in decisions])
        for worker in old_ids:
            release_all(connection, worker)
        log.info("reconnected", worker=self.worker, before=old, settled=len(stood))
        return len(stood)


def release_all(connection: WorkerConnection, worker: int) -> list[str]:
    """End a lease and release all jobs that it covers; returns their queues. Each step is atomic and may be repeated."""
    queues: list[str] = []
    while True:
        with connection.transaction():
            jobs = failures.lock_held(connection, worker, MAX_HELD_JOBS)
            failures.write_decisions(connection, worker, [(job, Release(RELEASED)) for job, _ in jobs])
            leases.end_lease(connection, worker)
        queues += [queue for _, queue in jobs]
        if len(jobs) < MAX_HELD_JOBS:
            return queues
