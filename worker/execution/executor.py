"""The executor of a worker process: claim, run, decide, settle with the next claim, until the queue is empty."""

import signal
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import FrameType
from typing import TYPE_CHECKING

from common.broker.doorbells import Doorbell
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.telemetry import logs
from worker.execution.async_executor import AsyncExecutor
from worker.execution.attempt import run_attempt
from worker.execution.batch_size import BatchSize
from worker.execution.job_context import JobContext
from worker.execution.pending_results import PendingResults
from worker.execution.resource_usage import ResourceUsage
from worker.execution.settlement import MAX_RESULT_CHARACTERS, Settler
from worker.execution.worker_session import WorkerSession
from worker.job_logs.attempt_log import OperationLogs
from worker.operations.installed import InstalledOperation
from worker.process_tree.leftovers import Leftovers
from worker.shared_memory.slots import Slot, Slots

log = logs.get("worker")
if TYPE_CHECKING:  # imported only while tracing is on
    from worker.tracing.spans import Spans

LEFTOVERS_AFTER_S = 0.0002  # a quicker attempt cannot have started a program; the end of its batch checks for forks
MAX_NAMES = 5  # of leftovers in a line of the log
ALARM_RETRY_S = 0.05  # an alarm that finds the connection in use is repeated after this


class Executor:
    """Serves queues in one process, one job at a time. Jobs of `async def` operations go to an AsyncExecutor."""

    def __init__(
        self,
        settings: Settings,
        session: WorkerSession,
        slots: Slots,
        slot: Slot,
        operations: Mapping[str, InstalledOperation],
        doorbell: Doorbell,
    ) -> None:
        self._settings = settings
        self._session = session
        self._slots = slots
        self._slot = slot
        self._operations = operations
        self._doorbell = doorbell
        self._settler = Settler(settings, session, slot.metrics, operations, doorbell)
        self._settler.on_reconnect = self._drop_rest_of_batch
        self._batch_size = BatchSize(settings.batch_target_milliseconds / 1000, settings.max_claim_jobs)
        self._rang_at = 0.0
        self._usage = ResourceUsage()
        self._job_started_at = 0.0
        self._batch: list[ClaimedJob] = []
        self._queue = ""  # of the batch
        self._position = 0  # in the batch
        self._context: JobContext | None = None
        self._in_operation = False
        self._async_operations = frozenset(name for name, operation in operations.items() if operation.is_async)
        self.make_async_executor: Callable[[], AsyncExecutor] | None = None  #: None where no operation is `async def`
        self.leftovers: Leftovers | None = None  #: None: what attempts leave behind is not ended
        self.operation_logs: OperationLogs | None = None  #: None: what operations log is not captured
        self._async_executor: AsyncExecutor | None = None  # made for the first job of such an operation

    def trace(self, spans: "Spans | None") -> None:
        """Record spans of traced jobs. None: record none."""
        self._settler.spans = spans

    def async_executor(self) -> AsyncExecutor:
        """Return the AsyncExecutor of this process. It runs nothing until its first job, not even its event loop."""
        if self._async_executor is None:
            assert self.make_async_executor is not None  # noqa: S101 - its caller has asked
            self._async_executor = self.make_async_executor()
        return self._async_executor

    def serve(self, queue: str) -> None:
        """Run the jobs of a queue until none is due, the worker drains, or the time slice of the queue is over."""
        if self._slots.limiter.wait(queue, lambda: self._slots.draining):
            # Doorbells come faster than they find jobs. The next claim answers all that are in the list by now, because
            # each was rung after the commit of its job.
            self._doorbell.discard(queue)
        until = time.monotonic() + self._settings.queue_time_slice_seconds
        self._prepare_to_serve(queue)
        while not self._slots.draining:
            limit = self._batch_size.jobs(queue)
            jobs = self._settler.settle_and_claim(queue, limit)
            if not jobs and self._session.is_lease_lost:
                self._session.reregister()
                continue
            if not jobs:
                self._slots.retries.claim_in(queue, self._session.policies(queue).wait_s)
                return
            self._slots.limiter.found_jobs(queue)
            is_full = len(jobs) == limit
            if is_full:
                self._ring_next_process(queue)
            self._run_batch(queue, self._hand_over_async(queue, jobs))
            self.end_leftovers()
            if time.monotonic() > until:
                self._settler.settle()
                self._leave(queue)
                if not is_full or self._doorbell.ring(queue) is not None:
                    return
                # Redis is unavailable, so no doorbell would wake another process, and none rings for other queues: this
                # process continues with the queue.
                until = time.monotonic() + self._settings.queue_time_slice_seconds
        self._settler.settle()
        self._leave(queue)

    def _leave(self, queue: str) -> None:
        """Give back the slots of a queue of which the process does not claim the next jobs now."""
        try:
            self._session.give_back_slots(queue)
        except DatabaseUnavailable as error:
            self._settler.connection_lost(error)

    def _prepare_to_serve(self, queue: str) -> None:
        if self._session.is_lease_lost:
            self._session.reregister()
        if self._async_executor is not None:
            self._async_executor.request_claim(queue)

    def say_unlogged(self) -> None:
        """Log how many failures got no line of their own."""
        self._settler.log.say_unlogged()

    def drain(self) -> None:
        """Let async jobs end before the process ends."""
        if self._async_executor is not None:
            self._async_executor.drain()

    def recover(self) -> None:
        """Release all jobs of this process after an unexpected error: also those whose attempts had ended unsettled."""
        self._settler.discard_pending()
        self._batch = []
        self._in_operation = False
        self._session.reconnect(PendingResults())

    def _ring_next_process(self, queue: str) -> None:
        # Idle processes wake in a chain. No ring when this process rang a moment ago: it continues to claim, and its
        # next full claim rings.
        now = time.monotonic()
        if now - self._rang_at > self._settings.doorbell_min_interval_milliseconds / 1000:
            self._rang_at = now
            self._doorbell.ring(queue)

    def _hand_over_async(self, queue: str, jobs: list[ClaimedJob]) -> list[ClaimedJob]:
        """Hand the jobs of `async def` operations to the AsyncExecutor; returns the other jobs.

        From the first such job on the AsyncExecutor claims them itself.
        """
        if self.make_async_executor is None:
            return jobs
        async_jobs = [job for job in jobs if job.operation in self._async_operations]
        if not async_jobs:
            return jobs
        async_executor = self.async_executor()
        is_first = not async_executor.is_started
        if self._session.policies(queue).has_slots:  # they were claimed under one slot: each needs its own
            self._settler.release(queue, async_jobs)
            async_executor.take(self._session.worker, queue, [])
        else:
            async_executor.take(self._session.worker, queue, async_jobs)
        if is_first:
            try:
                self._session.stop_claiming(async_executor.runnable)
            except DatabaseUnavailable as error:
                self._settler.connection_lost(error)
                return []  # released, except those that the AsyncExecutor had taken over by then
        return [job for job in jobs if job.operation not in self._async_operations]

    def _run_batch(self, queue: str, jobs: list[ClaimedJob]) -> None:
        started_at = time.perf_counter()
        if [job for job in jobs if job.extras is not None]:
            jobs.sort(key=attrgetter("isolated"))  # isolated jobs come last: the others are settled by then
        self._usage.start()
        self._batch, self._queue, self._position = jobs, queue, 0
        self._slot.set_batch(jobs)
        if len(jobs) > 1:
            signal.signal(signal.SIGALRM, self.settle_early)  # set anew: an operation may have replaced it
            signal.setitimer(signal.ITIMER_REAL, self._settings.batch_max_seconds)
        try:
            while self._position < len(self._batch) and not self._slots.draining:
                job = self._batch[self._position]
                may_run = True
                if job.extras is not None or (self._settler.pending and self._should_settle_before(job)):
                    may_run = self._prepare(job)
                if self._position == len(self._batch):  # the connection was lost, and with it the rest of the batch
                    break
                if may_run:
                    self._run(job)
                self._position += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._slot.set_idle()
        ran = self._position
        self._settler.release(self._queue, self._batch[ran:])  # not started, because the worker drains
        self._usage.measure(self._settler.pending)
        self._batch = []
        if ran:
            self._batch_size.learn_queue(queue, time.perf_counter() - started_at, ran)

    def _should_settle_before(self, job: ClaimedJob) -> bool:
        """Return True if pending results are to be settled before a job: it may take long, or they are large."""
        pending = self._settler.pending
        return self._batch_size.is_long(job.operation) or pending.results.characters > MAX_RESULT_CHARACTERS

    def _prepare(self, job: ClaimedJob) -> bool:
        """Settle before the job where that must not wait; before an isolated job also release the rest of the batch.

        Returns True if the job may run now.
        """
        if job.isolated:
            self._release_after(self._position)
        if self._settler.pending and (job.isolated or self._should_settle_before(job)):
            self._usage.measure(self._settler.pending)
            self._settler.settle()
            self._usage.start()
        return self._position == len(self._batch) or self._settler.may_run(job)

    def _release_after(self, position: int) -> None:
        """Release the jobs of the batch after a position."""
        self._settler.release(self._queue, self._batch[position + 1 :])
        self._batch = self._batch[: position + 1]

    def _drop_rest_of_batch(self) -> None:
        """Drop the jobs of the batch that have not started: the reconnect has released all jobs of the old id."""
        self._batch = self._batch[: self._position]

    def _run(self, job: ClaimedJob) -> None:
        started_at = self._job_started_at = time.perf_counter()
        self._context = JobContext(job, self._session, self._settings)
        self._slot.start_job(self._position)
        operation = self._operations.get(job.operation)
        settler = self._settler
        if settler.spans is not None and job.trace is not None:
            settler.spans.start_attempt(job, self._queue)
        log_of_attempt = self.operation_logs.begin(job, self._queue) if self.operation_logs is not None else None
        self._in_operation = True
        result = run_attempt(job, operation, self._context, self._settings)
        self._in_operation = False
        if log_of_attempt is not None:
            log_of_attempt.end()
        seconds = time.perf_counter() - started_at
        # The parent requests a cancel only of attempts that run longer than this.
        is_cancelled = seconds > self._settings.cancel_check_seconds and self._slot.is_cancel_requested
        outcome = settler.add(job, self._queue, operation, result, seconds, is_cancelled=is_cancelled)
        self._slot.metrics.count_attempt(job.operation, self._queue, outcome, seconds)
        self._batch_size.learn_operation(job.operation, seconds)
        if settler.spans is not None and (span := settler.spans.end_attempt(result)) is not None:
            settler.pending.spans.append((self._queue, span))
            self._slot.metrics.set_run_exemplar(span.trace_id, job.operation, self._queue, seconds)
        if seconds > LEFTOVERS_AFTER_S:
            self.end_leftovers(job)

    def end_leftovers(self, job: ClaimedJob | None = None) -> None:
        """End the processes that attempts have started and that outlive them, unless async jobs run.

        `job`: whose attempt has just ended; None: one of several has left them.
        """
        if self.leftovers is None or (self._async_executor is not None and not self._async_executor.is_idle):
            return
        if found := self.leftovers.find():
            self._slot.set_idle()  # the attempt has ended: its time limit is over
            self.leftovers.end(found)
            log.warning(
                "attempt_left_processes",
                job_id=job.id if job else None,
                operation=job.operation if job else None,
                processes=len(found),
                names=sorted({process.name for process in found})[:MAX_NAMES],
            )

    def settle_early(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle the alarm of a batch that takes long: settle what has ended, release what has not started.

        Runs between two bytecodes of user code. The connection is idle then, except while progress is stored.
        """
        if not self._in_operation or (self._context is not None and self._context.storing):
            signal.setitimer(signal.ITIMER_REAL, ALARM_RETRY_S)
            return
        self._release_after(self._position)
        if self._settler.pending:
            self._usage.measure(self._settler.pending, time.perf_counter() - self._job_started_at)
            self._settler.settle_in_signal_handler()
