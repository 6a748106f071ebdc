"""The async executor: runs jobs of `async def` operations, many at a time, in the event loop of their process.

Its own thread claims, settles and supervises them. To the database it is a second worker beside the one of its process:
it has its own id, lease, low-water marks and connection. It claims only jobs of `async def` operations, the other
worker all other jobs. So neither waits for the other, and neither claims a job that it cannot run.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from common.broker.doorbells import Doorbell
from common.domain.decisions import Failure
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.event_loop import AsyncAttempt, AsyncFunction, EventLoop
from worker.execution.running_attempts import RunningAttempts
from worker.execution.settlement import MAX_RESULT_CHARACTERS, Settler
from worker.execution.worker_session import WorkerSession
from worker.job_logs.attempt_log import OperationLogs
from worker.operations.installed import InstalledOperation
from worker.process_tree.processes import end_this_process
from worker.shared_memory.slots import Slot, Slots

if TYPE_CHECKING:  # imported only while tracing is on
    from worker.tracing.spans import Spans

log = logs.get("worker")
HandedOver = tuple[int, str, list[ClaimedJob]]  # the worker that claimed the jobs, their queue, the jobs


class AsyncExecutor:
    """Runs up to `async_concurrency` jobs at a time."""

    def __init__(
        self,
        settings: Settings,
        session: WorkerSession,
        slots: Slots,
        slot: Slot,
        operations: Mapping[str, InstalledOperation],
        doorbell: Doorbell,
    ) -> None:
        """`slot` and `session` belong to it, not to its process's executor; `operations` are the `async def` ones."""
        self._settings = settings
        self._session = session
        self._slots = slots
        self._slot = slot
        self._operations = operations
        self._doorbell = doorbell
        self._settler = Settler(settings, session, slot.metrics, operations, doorbell)
        self._settler.running = self._running_jobs
        session.jobs_in_hand = lambda queue: self._attempts.in_hand(queue, self._isolated)
        self._settler.on_reconnect = self._drop_lost_jobs
        #: Names of the operations with their versions, as a claim compares them.
        self.runnable = [name for operation in operations.values() for name in operation.spec.runnable]
        self._events = deque[AsyncAttempt]()  # from the loop's thread: attempts that have ended or report progress
        self._handed_over = deque[HandedOver]()  # from the process's thread
        self._rung = set[str]()  # queues whose doorbell has rung, from the process's thread
        self._due_queues = dict[str, None]()  # queues that may have more jobs, the next one first
        self._isolated: list[tuple[str, ClaimedJob]] = []  # jobs that wait until nothing else runs
        self._wake = threading.Event()
        self._draining = False
        self._has_failed = False
        self._rang_at_s, self._claimed_at_s = dict[str, float](), time.perf_counter()  # the first by queue
        self._loop = EventLoop(settings, operations, self._heartbeat, end_this_process)
        self._attempts = RunningAttempts(settings, session, slot, self._loop)
        run = copy_context().run
        self._thread = threading.Thread(target=run, args=(self._run,), name="async-executor", daemon=True)

    def trace(self, spans: "Spans") -> None:
        """Record spans of traced jobs. To be called before the first job."""
        self._settler.spans = spans
        self._loop.traced = True

    def capture(self, operation_logs: OperationLogs | None) -> None:
        """Capture what operations log. None: capture nothing. To be called before the first job."""
        self._loop.operation_logs = operation_logs

    # --- called by the process's thread

    def call(self, function: AsyncFunction) -> None:
        """Call an `async def` function in the event loop and wait for its end. Raises what it raises."""
        self._loop.call(function)

    @property
    def is_started(self) -> bool:
        """True from the first job on."""
        return self._thread.ident is not None

    def take(self, worker: int, queue: str, jobs: list[ClaimedJob]) -> None:
        """Run jobs of a queue that `worker` has claimed, up to the limit. The first call starts the threads."""
        self._handed_over.append((worker, queue, jobs))
        self._wake.set()
        if not self.is_started:
            self._loop.start()
            self._thread.start()

    def request_claim(self, queue: str) -> None:
        """Claim from a queue soon, because its doorbell has rung."""
        self._rung.add(queue)
        self._wake.set()

    @property
    def is_idle(self) -> bool:
        """True while no job runs or is about to."""
        return not (self._attempts or self._handed_over)

    def drain(self) -> None:
        """Claim no more and wait until all attempts have ended. After the grace the parent kills this process."""
        self._draining = True
        self._wake.set()
        if self.is_started:
            self._thread.join(self._settings.shutdown_grace_seconds * 2)

    # --- called by the event loop's thread

    def _heartbeat(self) -> None:
        self._attempts.heartbeat_at_s = time.perf_counter()
        self._slot.heartbeat()

    def _on_event(self, attempt: AsyncAttempt) -> None:
        self._events.append(attempt)
        self._wake.set()

    # --- on its own thread

    def _run(self) -> None:
        settings = self._settings
        block_s = settings.event_loop_block_timeout_seconds / 4
        pause_s = min(settings.tick_seconds, settings.cancel_check_seconds, block_s)
        while self._attempts or self._handed_over or not self._draining:
            self._wake.wait(pause_s)
            self._wake.clear()
            try:
                self._cycle()
            except Exception:
                log.exception("serving_failed", worker=self._session.worker)
                self._has_failed = True

    def _cycle(self) -> None:
        """Process the events since the last cycle, claim, start jobs, settle."""
        if self._has_failed or self._session.is_lease_lost:
            self._recover()
        self._drain_events()
        self._check_cancellations()
        self._attempts.report_suspect()
        self._take_over_handed()
        self._claim()
        self._run_isolated()
        self._settler.settle()
        self._settler.log.say_unlogged()
        self._attempts.publish()

    def _recover(self) -> None:
        if self._has_failed:
            self._settler.discard_pending()
        self._settler.reconnect()
        self._has_failed = False

    def _running_jobs(self) -> Sequence[ClaimedJob]:
        return [attempt.job for attempt in self._attempts.values()]

    def _drop_lost_jobs(self) -> None:
        """Drop jobs that have not started, as the reconnect released them, and cancel attempts that others own now."""
        self._isolated = []
        self._attempts.cancel_lost()

    def _drain_events(self) -> None:
        """Process the events of the loop, until the pending results are large enough to settle."""
        while self._events and self._settler.pending.results.characters < MAX_RESULT_CHARACTERS:
            attempt = self._events.popleft()
            if attempt.result is not None:
                self._finish(attempt, attempt.result)
            elif attempt.report is not None and attempt.is_owned:
                report, attempt.report = attempt.report, None
                attempt.is_owned = self._session.report_progress(attempt.job.id, attempt.job.attempt, *report)
        if self._events:
            self._wake.set()

    def _finish(self, attempt: AsyncAttempt, result: str | Failure) -> None:
        job, seconds = attempt.job, attempt.duration_s
        if self._attempts.get(job.id) is not attempt:  # a second event of the same attempt
            return
        del self._attempts[job.id]
        if self._session.policies(attempt.queue).has_slots:  # its slot is for the next job
            self._due_queues[attempt.queue] = None
        outcome = self._settler.add(
            job,
            attempt.queue,
            self._operations.get(job.operation),
            result,
            seconds,
            is_cancelled=attempt.is_cancel_requested,
        )
        self._slot.metrics.count_attempt(job.operation, attempt.queue, outcome, seconds)
        if attempt.span is not None:
            self._settler.pending.spans.append((attempt.queue, attempt.span))
            self._slot.metrics.set_run_exemplar(attempt.span.trace_id, job.operation, attempt.queue, seconds)

    def _check_cancellations(self) -> None:
        try:
            self._attempts.cancel_requested()
        except DatabaseUnavailable as error:
            self._settler.connection_lost(error)

    def _take_over_handed(self) -> None:
        while self._handed_over:
            worker, queue, jobs = self._handed_over.popleft()
            self._due_queues[queue] = None
            try:
                owned = leases.take_over(
                    self._session.connection, self._session.worker, [worker], [(job.id, job.attempt) for job in jobs]
                )
            except DatabaseUnavailable as error:
                # Tried again. If it was committed, the reconnect releases all of them, and none is left to take over.
                self._handed_over.appendleft((worker, queue, jobs))
                self._settler.connection_lost(error)
            else:
                self._begin(queue, [job for job in jobs if job.id in owned])

    @property
    def _accepts_jobs(self) -> bool:
        return not (self._draining or self._slots.draining)

    @property
    def _capacity(self) -> int:
        """The number of jobs that may start now; 0 while an isolated job runs or waits."""
        isolated = self._isolated or any(attempt.job.isolated for attempt in self._attempts.values())
        if isolated or not self._accepts_jobs:
            return 0
        return min(self._settings.async_concurrency - len(self._attempts), self._settings.max_claim_jobs)

    def _claim(self) -> None:
        """Settle what has ended and claim jobs up to the limit, from the due queues in turn."""
        now_s = time.perf_counter()
        while self._rung:
            self._due_queues[self._rung.pop()] = None
        # Also polled once a tick: the process may be in a long job and receive no doorbell.
        if now_s - self._claimed_at_s >= self._settings.tick_seconds:
            self._due_queues.update(dict.fromkeys(self._session.queues))
        for queue in list(self._due_queues):
            limit = self._capacity
            if limit <= 0:
                return
            self._claimed_at_s = now_s
            del self._due_queues[queue]
            jobs = self._settler.settle_and_claim(queue, limit)
            self._slots.retries.claim_in(queue, self._session.policies(queue).wait_s)
            if jobs:
                self._slots.limiter.found_jobs(queue)
            if len(jobs) == limit:
                self._due_queues[queue] = None  # behind the others
                self._ring_next_process(queue, now_s)
            self._begin(queue, jobs)

    def _ring_next_process(self, queue: str, now_s: float) -> None:
        self._wake.set()  # one ring a tick is enough: a woken process keeps claiming
        if now_s - self._rang_at_s.get(queue, float("-inf")) >= self._settings.tick_seconds:
            self._rang_at_s[queue] = now_s
            self._doorbell.ring(queue)

    def _begin(self, queue: str, jobs: Sequence[ClaimedJob]) -> None:
        """Start jobs up to the limit and release the others; isolated ones wait until nothing else runs."""
        ready, capacity, worker = list[ClaimedJob](), self._capacity, self._session.worker
        for job in jobs:
            if job.operation not in self._operations:  # stored by a version that did not write `live.needs`
                self._settler.release(queue, [job])
            elif job.isolated:
                self._isolated.append((queue, job))
            elif len(ready) == capacity:
                self._settler.release(queue, [job])
            elif self._settler.may_run(job):
                ready.append(job)
            if self._session.worker != worker:  # the connection was lost: all jobs that have not started are released
                return
        self._start(queue, ready)

    def _run_isolated(self) -> None:
        """Start the first isolated job once nothing else runs; release isolated jobs while draining."""
        while self._isolated and not (self._attempts and self._accepts_jobs):
            queue, job = self._isolated.pop(0)
            if not self._accepts_jobs:
                self._settler.release(queue, [job])
            elif self._settler.may_run(job):
                self._start(queue, [job])

    def _start(self, queue: str, jobs: Sequence[ClaimedJob]) -> None:
        attempts = [AsyncAttempt(job, queue, self._on_event, time.perf_counter) for job in jobs]
        self._attempts.add(attempts)
        self._attempts.publish()
        if attempts:
            self._loop.start_attempts(attempts)
