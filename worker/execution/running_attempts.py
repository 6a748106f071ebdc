"""The running attempts of an async executor: their limits, and their list in shared memory, which the parent reads."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence

from common.domain.job import PARENTS, ClaimedJob
from common.settings import Settings
from common.store.jobs.limits.policy_claims import JobsInHand
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.event_loop import AsyncAttempt, EventLoop
from worker.execution.worker_session import WorkerSession
from worker.shared_memory.slots import IDLE, KillReason, Slot

log = logs.get("worker")


class RunningAttempts(dict[str, AsyncAttempt]):
    """Running attempts by job id. A dict, so that the executor adds, finds and removes attempts without a call."""

    def __init__(self, settings: Settings, session: WorkerSession, slot: Slot, loop: EventLoop) -> None:
        super().__init__()
        self._settings = settings
        self._session = session
        self._slot = slot
        self._loop = loop
        self._published: list[str] = []  # ids of the running jobs, as the parent sees them
        self.heartbeat_at_s = self._cancel_checked_at_s = time.perf_counter()  #: time of the loop's last heartbeat

    def add(self, attempts: Iterable[AsyncAttempt]) -> None:
        """Add attempts that are about to start, each with what the parents of its job came to."""
        for attempt in attempts:
            if attempt.job.links is not None and PARENTS in attempt.job.links.flags:
                attempt.parents = self._session.read_parents(attempt.job.id)
            self[attempt.job.id] = attempt

    def in_hand(self, queue: str, waiting: Sequence[tuple[str, ClaimedJob]]) -> JobsInHand:
        """Return which jobs of a queue run or wait for their start; `waiting` has queues and jobs."""
        jobs = [attempt.job for attempt in self.values() if attempt.queue == queue]
        jobs += [job for name, job in waiting if name == queue]
        return JobsInHand(True, Counter(job.tenant for job in jobs))

    def publish(self) -> None:
        """Write the running jobs to the slot, for the parent."""
        if self._published != list(self):
            self._published = list(self)
            self._slot.set_running([attempt.job for attempt in self.values()])

    def cancel_requested(self) -> None:
        """Cancel the tasks of attempts that a client has cancelled. Raises DatabaseUnavailable.

        The database is asked once in `cancel_check_seconds`, and only about attempts that have run for that long.
        """
        now_s, interval_s = time.perf_counter(), self._settings.cancel_check_seconds
        long_running = [
            attempt
            for attempt in self.values()
            if now_s - attempt.started_at_s >= interval_s and not attempt.is_cancel_requested
        ]
        if not long_running or now_s - self._cancel_checked_at_s < interval_s:
            return
        self._cancel_checked_at_s, worker = now_s, self._session.worker
        cancelled = leases.find_cancelled(
            self._session.connection, [(attempt.job.id, attempt.job.attempt, worker) for attempt in long_running]
        )
        for attempt in long_running:
            if (worker, attempt.job.id) in cancelled:
                attempt.cancel_requested_at_s = now_s
                self._loop.cancel(attempt)
                log.info("job_cancel_requested", worker=worker, job_id=attempt.job.id, attempt=attempt.job.attempt)

    def cancel_lost(self) -> None:
        """Cancel the tasks of attempts that the reconnect did not carry over: their jobs are another worker's."""
        for job_id, attempt in self.items():
            if job_id not in self._session.carried_over:
                attempt.is_owned = False
                self._loop.cancel(attempt)

    def report_suspect(self) -> None:
        """Report to the parent the attempt for which it is to kill this process, now or if the loop stays blocked."""
        now_s, grace_s = time.perf_counter(), self._settings.cancel_grace_seconds
        suspect = next(
            ((attempt, reason) for attempt in self.values() if (reason := attempt.kill_reason(now_s, grace_s))),
            None,
        )
        if (
            suspect is None
            and now_s - self.heartbeat_at_s > self._settings.event_loop_block_timeout_seconds / 2
            and (current := self._loop.current_attempt())
        ):
            suspect = current, KillReason.BLOCKS_LOOP
        if suspect is None or suspect[0].job.id not in self._published:
            self._slot.set_suspect(IDLE, KillReason.BLOCKS_LOOP)
        else:
            self._slot.set_suspect(self._published.index(suspect[0].job.id), suspect[1])
