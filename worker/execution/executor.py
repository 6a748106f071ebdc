"""The way of jobs through a worker process: claim, run, decide, settle with the next claim, until the queue is empty."""

import signal
import time
from collections.abc import Callable, Mapping
from operator import attrgetter
from types import FrameType

import psycopg2

from common.broker.doorbells import Bell
from common.domain.job import Claimed
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY
from common.store.jobs import claims, failures
from worker.execution.async_executor import Together
from worker.execution.attempt import attempt
from worker.execution.batch_size import Pace
from worker.execution.job_context import Progress
from worker.execution.pending_results import Endings
from worker.execution.resource_usage import Consumption
from worker.execution.settlement import MOST_CHARACTERS, Exchange
from worker.execution.worker_session import Holder
from worker.operations.registry import Operation
from worker.shared_memory.metrics import Outcome
from worker.shared_memory.slots import Seat, Seats

AGAIN_S = 0.05  # an alarm that finds the connection in use comes again after this


class Executor(Exchange):
    """Serves queues in one process, one job at a time; those of `async def` operations it hands over."""

    def __init__(self, settings: Settings, holder: Holder, seats: Seats, seat: Seat, operations: Mapping[str, Operation], bell: Bell) -> None:
        super().__init__(settings, holder, seat.meter, operations)
        self._seats = seats
        self._seat = seat
        self._bell = bell
        self._pace = Pace(settings.batch_milliseconds / 1000, settings.max_claim_jobs)
        self._rang = 0.0
        self._consumption = Consumption()
        self._began = 0.0  # when the running job began
        self._batch: list[Claimed] = []
        self._queue = ""  # which it is of
        self._at = 0
        self._progress: Progress | None = None
        self._in_operation = False
        self._asynchronous = frozenset(name for name, one in operations.items() if one.is_async)
        self.make_together: Callable[[], Together] | None = None  #: who runs those; None only where there is no such operation
        self._together: Together | None = None  # made for the first job of such an operation

    def serve(self, queue: str) -> None:
        """Run the jobs of a queue until none is due, the worker drains, or other queues should have their turn."""
        until = time.monotonic() + self._settings.serve_seconds
        self._begin_to_serve(queue)
        while not self._seats.draining:
            wanted = self._pace.batch(queue)
            jobs = self._exchange(queue, wanted)
            if not jobs and self._holder.lost:
                self._holder.renew_identity()
                continue
            if not jobs:
                return
            full = len(jobs) == wanted
            if full:
                self._wake_another(queue)
            self._run_batch(queue, self._hand_over(queue, jobs))
            if time.monotonic() > until:
                self._settle()
                if not full or self._bell.ring(queue) is not None:
                    return
                # Redis is away, so nobody would come: this process goes on itself. Other queues are not rung for either.
                until = time.monotonic() + self._settings.serve_seconds
        self._settle()

    def _begin_to_serve(self, queue: str) -> None:
        if self._holder.lost:
            self._holder.renew_identity()
        if self._together is not None:
            self._together.look_at(queue)

    def leave(self) -> None:
        """Let what runs together come to its end, before the process ends."""
        if self._together is not None:
            self._together.leave()

    def recover(self) -> None:
        """Give back all that this process holds, after an error that nobody thought of: what had ended and is not stored runs again."""
        self._ended, self._batch = Endings(), []
        self._in_operation = False
        self._holder.reconnect(self._ended.results, self._ended.decided)

    def _wake_another(self, queue: str) -> None:
        # Idle processes wake in a chain. Left out when this process rang a moment ago: it goes on claiming itself, and the
        # next full claim rings.
        now = time.monotonic()
        if now - self._rang > self._settings.ring_interval_milliseconds / 1000:
            self._rang = now
            self._bell.ring(queue)

    def _hand_over(self, queue: str, jobs: list[Claimed]) -> list[Claimed]:
        """Hand over the jobs of `async def` operations, which are claimed for themselves from the first on; returns the others."""
        if self.make_together is None:
            return jobs
        theirs = [job for job in jobs if job.operation in self._asynchronous]
        if not theirs:
            return jobs
        first = self._together is None
        if self._together is None:
            self._together = self.make_together()
        self._together.take(self._holder.worker, queue, theirs)
        if first:
            try:
                self._holder.leave_out(self._together.knows)
            except AWAY as error:
                self._away(error)
                return []  # given back, but for what was taken over by then
        return [job for job in jobs if job.operation not in self._asynchronous]

    def _run_batch(self, queue: str, jobs: list[Claimed]) -> None:
        began = time.perf_counter()
        if [job for job in jobs if job.special is not None]:
            jobs.sort(key=attrgetter("alone"))  # last: by then the others are stored
        self._consumption.begin()
        self._batch, self._queue, self._at = jobs, queue, 0
        self._seat.begin(jobs)
        if len(jobs) > 1:
            signal.signal(signal.SIGALRM, self.settle_early)  # anew: an operation may have taken it
            signal.setitimer(signal.ITIMER_REAL, self._settings.settle_early_seconds)
        try:
            while self._at < len(self._batch) and not self._seats.draining:
                job = self._batch[self._at]
                may = self._make_way(job) if job.special is not None or (self._ended and self._is_time(job)) else True
                if self._at == len(self._batch):  # the connection was lost, and with it the rest
                    break
                if may:
                    self._run(job)
                self._at += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._seat.idle()
        ran = self._at
        self._give_back(self._queue, self._batch[ran:])  # drained
        self._consumption.measure(self._ended)
        self._batch = []
        if ran:
            self._pace.learn_queue(queue, time.perf_counter() - began, ran)

    def _is_time(self, job: Claimed) -> bool:
        """Return whether what has ended is to be stored before a job: it may take long, or there is much to store."""
        return self._pace.is_long(job.operation) or self._ended.results.characters > MOST_CHARACTERS

    def _make_way(self, job: Claimed) -> bool:
        """Store what has ended; before one that runs alone also give back the rest. Returns whether the job may run now."""
        if job.alone:
            self._keep(self._at)
        if self._ended and (job.alone or self._is_time(job)):
            self._consumption.measure(self._ended)
            self._settle()
            self._consumption.begin()
        return self._at == len(self._batch) or self._may_run(job)

    def _keep(self, at: int) -> None:
        """Give back all of the batch after a place in it."""
        self._give_back(self._queue, self._batch[at + 1 :])
        self._batch = self._batch[: at + 1]

    def _run(self, job: Claimed) -> None:
        began = self._began = time.perf_counter()
        self._progress = Progress(job, self._holder, self._settings.progress_seconds)
        self._seat.run(self._at)
        operation = self._operations.get(job.operation)
        if self.spans is not None and job.trace is not None:
            self.spans.begin(job, self._queue)
        self._in_operation = True
        came = attempt(job, operation, self._progress, self._settings)
        self._in_operation = False
        took = time.perf_counter() - began
        if isinstance(came, str):
            how = Outcome.SUCCESS
            self._ended.results.add(job, came, took)
        else:
            how = self._failed(job, operation, came, took)
        if took > self._settings.cancel_check_seconds and self._seat.asked_to_stop:  # a shorter one is never told
            how = Outcome.CANCELLED
        self._meter.ended(job.operation, self._queue, how, took)
        self._pace.learn_operation(job.operation, took)
        if self.spans is not None and (span := self.spans.end(came)) is not None:
            self._ended.spans.append((self._queue, span))
            self._meter.ran_in(span.trace_id, job.operation, self._queue, took)

    def _away(self, error: Exception) -> None:
        # The rest of the batch is given back with everything else that the old id holds.
        self._batch = self._batch[: self._at]
        super()._away(error)

    def settle_early(self, _signal: int, _frame: FrameType | None) -> None:
        """Handle the alarm of a batch that takes long: store what has ended, give back what has not begun.

        Runs between two bytecodes of user code. The connection is idle then, but while progress is stored.
        """
        if not self._in_operation or (self._progress is not None and self._progress.storing):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
            return
        self._keep(self._at)
        ended = self._ended
        if not ended:
            return
        self._consumption.measure(ended, time.perf_counter() - self._began)
        hold, began_ns = self._holder, time.time_ns()
        try:
            with hold.hot.transaction():
                failures.write(hold.hot, hold.worker, ended.decided)
                claims.settle(hold.hot, hold.worker, ended.results)
            self._forget(began_ns, in_handler=True)
        except psycopg2.Error:
            pass  # what has ended stays in self._ended; the settle of the batch's end takes care of it
