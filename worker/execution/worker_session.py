"""One worker process as the database knows it: its connection, its identity, its marks."""

import os
import socket
import time
from collections.abc import Collection, Sequence

from common.broker.change_feed import Crier
from common.domain.decisions import RELEASED, Decision, Release
from common.domain.job import Claimed
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY, Hot
from common.store.jobs import claims, failures
from common.store.jobs.claims import Marks, Results
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.pending_results import Endings
from worker.shared_memory.slots import Seat

log = logs.get("worker")
FIRST_PAUSE_S = 0.05  # before the second try to connect; doubles up to the setting's cap
MOST_HELD = 1_000  # jobs given back in one transaction


class Holder:
    """Holds jobs under an id of its own. After a lost connection it comes back under a new one: what the old one may have
    claimed without learning of it is given back.
    """

    def __init__(self, settings: Settings, seat: Seat, queues: Sequence[str], operations: Sequence[str]) -> None:
        self._settings = settings
        self._seat = seat
        self.queues = queues  #: that it serves
        self._operations = operations
        self._marks: dict[str, Marks] = {}
        self._published = 0.0
        self._hot: Hot | None = None
        self.worker = 0
        self.kept: set[str] = set()  #: what went on running over the last reconnect, and is ours yet
        self.crier: Crier | None = None  #: None: nobody is told of what has changed

    @property
    def hot(self) -> Hot:
        """The connection; raises an AWAY error when there is none."""
        if self._hot is None:
            self._open()
        assert self._hot is not None  # noqa: S101 - _open sets it or raises
        return self._hot

    @property
    def lost(self) -> bool:
        """Whether the parent found that the lease had ended."""
        return self.worker != 0 and self._seat.worker == 0

    @property
    def asked_to_stop(self) -> bool:
        """Whether a client wants what runs now to stop."""
        return self._seat.asked_to_stop

    def marks(self, queue: str) -> Marks:
        """Return the low-water marks of a queue, and hand all of them to the parent now and then."""
        self._seat.look()
        now = time.monotonic()
        if now - self._published > self._settings.heartbeat_seconds / 2:
            self._published = now
            low = {q: {str(p): pos for p, pos in m.pos.items() if pos != "-infinity"} for q, m in self._marks.items()}
            self._seat.publish_low({q: marks for q, marks in low.items() if marks})
        return self._marks.setdefault(queue, Marks())

    def report_progress(self, job_id: str, attempt: int, fraction: float | None, text: str | None) -> bool:
        """Store how far an attempt is. Returns False once the job is another's; True where the database cannot say."""
        if self._hot is None:
            return True
        try:
            ours = leases.report_progress(self._hot, self.worker, job_id, attempt, fraction, text)
        except AWAY:
            return True  # the settle will find out
        if ours and self.crier is not None:
            self.crier.tell([job_id])
        return ours

    def tell(self, ended: Endings) -> None:
        """Tell who waits for jobs that attempts have ended, after the commit."""
        if self.crier is not None and not self.crier.quiet:
            self.crier.tell([*ended.results.ids, *(job.id for job, _ in ended.decided)])

    def _open(self) -> None:
        hot = Hot(self._settings, "worker", by_index=True)
        try:
            worker = leases.register(hot, self._settings.lease_seconds, os.getpid(), socket.gethostname(), self.queues, self._operations)
        except BaseException:
            hot.close()
            raise
        self._hot, self.worker = hot, worker
        self._marks.clear()
        self._seat.publish_low({})
        self._seat.register(worker)
        log.debug("worker_registered", worker=worker)

    def leave_out(self, operations: Collection[str]) -> None:
        """Know these no longer: somebody else in this process claims them. Raises what is in AWAY."""
        self._operations = [one for one in self._operations if one not in operations]
        leases.know(self.hot, self.worker, self._operations)

    def renew_identity(self) -> None:
        """Take a new id where the lease of the old one has ended."""
        log.warning("lease_lost", worker=self.worker)
        self.close()

    def close(self) -> None:
        """Leave the connection; whatever was under way is rolled back."""
        if self._hot is not None:
            self._hot.close()
        self._hot, self.worker = None, 0

    def reconnect(self, results: Results, decided: Sequence[tuple[Claimed, Decision]], running: Sequence[Claimed] = ()) -> int:
        """Settle under the old id what had ended, give back the rest, take a new id. Returns how many of them stood.

        What is `running` comes along to the new id; `kept` tells which of it was still this process's. Waits for the database as
        long as it takes: the work is done, only its lease can take it away.
        """
        before, pause = [self.worker], FIRST_PAUSE_S
        self.close()
        while True:
            try:
                self._open()
                return self._hand_over(before, results, decided, running)
            except AWAY as error:
                log.warning("database_away", reason=str(error).strip(), pause_s=pause, worker=before[0])
                before += [self.worker] if self.worker else []  # it may have taken over what runs, and not have heard of it
                self.close()
                time.sleep(pause)
                pause = min(pause * 2, self._settings.reconnect_cap_seconds)

    def _hand_over(self, before: list[int], results: Results, decided: Sequence[tuple[Claimed, Decision]], running: Sequence[Claimed]) -> int:
        old = before[0]
        if not old:
            return 0
        hot = self.hot
        with hot.transaction():
            stood = failures.write(hot, old, decided)
            stood |= claims.settle(hot, old, results)
            self.kept = leases.take_over(hot, self.worker, before, [(job.id, job.attempt) for job in running])
        stood |= claims.settled_before(hot, old, [job.id for job, _ in decided], [job.attempt for job, _ in decided]) if decided else set()
        for one in before:
            give_back(hot, one)
        log.info("reconnected", worker=self.worker, before=old, settled=len(stood))
        return len(stood)


def give_back(hot: Hot, worker: int) -> list[str]:
    """End a lease and release every job of it; returns their queues. Each step is atomic, and may be repeated."""
    queues: list[str] = []
    while True:
        with hot.transaction():
            jobs = failures.held(hot, worker, MOST_HELD)
            failures.write(hot, worker, [(job, Release(RELEASED)) for job, _ in jobs])
            leases.end(hot, worker)
        queues += [queue for _, queue in jobs]
        if len(jobs) < MOST_HELD:
            return queues
