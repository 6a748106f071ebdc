"""The way of jobs through a worker process: claim, run, decide, settle with the next claim, until the queue is empty."""

import random
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from types import FrameType
from typing import TYPE_CHECKING

import psycopg2

from common import failpoints
from common.broker import Bell
from common.domain.decisions import RELEASED, Release, Spent, decide
from common.domain.job import Claimed
from common.domain.retry import DEFAULT_RETRY
from common.settings import Settings
from common.store import claims, endings, mutexes
from common.store.session import AWAY
from common.telemetry import logs
from worker import singly
from worker.ended import Consumption, Endings
from worker.holder import Holder
from worker.meters import Outcome, outcome
from worker.operations.registry import Operation
from worker.pace import Pace
from worker.progress import Progress
from worker.run import attempt
from worker.seats import Seat, Seats

if TYPE_CHECKING:  # imported only while tracing is on
    from worker.spans import Spans

log = logs.get("worker")
#: Results of a batch that are settled before its end: settling costs seven times their size (half a GiB for sixty results of a MiB).
MOST_CHARACTERS = 4_000_000
AGAIN_S = 0.05  # an alarm that finds the connection in use comes again after this


class Executor:
    """Serves queues in one process, one job at a time."""

    def __init__(self, settings: Settings, holder: Holder, seats: Seats, seat: Seat, operations: Mapping[str, Operation], bell: Bell) -> None:
        self._settings = settings
        self._holder = holder
        self._seats = seats
        self._seat = seat
        self._meter = seat.meter
        self._operations = operations
        self._bell = bell
        self._pace = Pace(settings.batch_milliseconds / 1000, settings.max_claim_jobs)
        self._rang = 0.0
        self._ended = Endings()  # of the batch under way
        self._consumption = Consumption()
        self._began = 0.0  # when the running job began
        self._batch: list[Claimed] = []
        self._queue = ""  # which it is of
        self._at = 0
        self._progress: Progress | None = None
        self._in_operation = False
        self.spans: Spans | None = None  #: None: tracing is off

    def serve(self, queue: str) -> None:
        """Run the jobs of a queue until none is due, the worker drains, or other queues should have their turn."""
        until = time.monotonic() + self._settings.serve_seconds
        if self._holder.lost:
            self._holder.renew_identity()
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
            self._run_batch(queue, jobs)
            if time.monotonic() > until:
                self._settle()
                if not full or self._bell.ring(queue) is not None:
                    return
                # Redis is away, so nobody would come: this process goes on itself. Other queues are not rung for either.
                until = time.monotonic() + self._settings.serve_seconds
        self._settle()

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
        self._give_back(self._batch[ran:])  # drained
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

    def _may_run(self, job: Claimed) -> bool:
        """Read its input where that is too great to come with a batch; take the key of one that others may not run beside."""
        special = job.special
        if special is None or (special.mutex is None and not special.large):
            return True
        try:
            if special.large:
                job.input = claims.input_of(self._holder.hot, job.id)
            put_off_s = self._settings.unique_retry_seconds
            return special.mutex is None or mutexes.take(self._holder.hot, self._holder.worker, special.mutex, job.id, job.attempt, put_off_s)
        except AWAY as error:
            self._away(error)
            return False

    def _keep(self, at: int) -> None:
        """Give back all of the batch after a place in it."""
        self._give_back(self._batch[at + 1 :])
        self._batch = self._batch[: at + 1]

    def _give_back(self, jobs: list[Claimed]) -> None:
        for job in jobs:
            self._ended.decided.append((job, Release(RELEASED)))
            self._meter.ended(job.operation, self._queue, Outcome.RELEASED, None)

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
            policy = operation.spec.retry if operation else DEFAULT_RETRY
            decision = decide(job, replace(came, spent=Spent(took)), policy, random.random(), self._settings.max_crashes)  # noqa: S311 - jitter
            how = outcome(decision)
            self._ended.decided.append((job, decision))
            log.debug("attempt_failed", job_id=job.id, attempt=job.attempt, error=came.error_type, decision=type(decision).__name__)
        if took > self._settings.cancel_check_seconds and self._seat.asked_to_stop:  # a shorter one is never told
            how = Outcome.CANCELLED
        self._meter.ended(job.operation, self._queue, how, took)
        self._pace.learn_operation(job.operation, took)
        if self.spans is not None and (span := self.spans.end(came)) is not None:
            self._ended.spans.append(span)
            self._meter.ran_in(span.trace_id, job.operation, self._queue, took)

    def _exchange(self, queue: str, wanted: int) -> list[Claimed]:
        """Settle what has ended and claim more, in one transaction. A lost connection is waited out."""
        hold = self._holder
        while True:
            ended = self._ended
            marks = hold.marks(queue)
            began_ns = time.time_ns()
            try:
                failpoints.reach("settle.before_commit")
                if ended.decided:
                    with hold.hot.transaction():
                        stood = len(endings.write(hold.hot, hold.worker, ended.decided))
                        settled, jobs = claims.settle_and_claim(hold.hot, hold.worker, ended.results, queue, marks, wanted)
                else:
                    stood = 0
                    settled, jobs = claims.settle_and_claim(hold.hot, hold.worker, ended.results, queue, marks, wanted)
                failpoints.reach("settle.after_commit")
                failpoints.reach("claim.after_commit")
            except AWAY as error:
                self._away(error)
                continue
            except psycopg2.Error as error:
                self._one_by_one(error)
                continue
            self._count_fenced(len(ended) - stood - settled)
            self._forget(began_ns)
            self._meter.claimed(queue, jobs)
            if self.spans is not None:
                self.spans.claimed(queue, jobs, began_ns, self._meter)
            return jobs

    def _forget(self, began_ns: int, *, in_handler: bool = False) -> None:
        """Forget what has ended: it is stored, which began at that time."""
        if self.spans is not None and self._ended.spans:
            self.spans.settled(self._queue, self._ended.spans, began_ns, in_handler=in_handler)
        self._holder.tell(self._ended)
        self._ended = Endings()

    def _settle(self) -> None:
        """Settle what has ended and claim nothing."""
        if not self._ended:
            return
        hold, ended, began_ns = self._holder, self._ended, time.time_ns()
        try:
            failpoints.reach("settle.before_commit")
            with hold.hot.transaction():
                stood = endings.write(hold.hot, hold.worker, ended.decided)
                stood |= claims.settle(hold.hot, hold.worker, ended.results)
            failpoints.reach("settle.after_commit")
            self._count_fenced(len(ended) - len(stood))
            self._forget(began_ns)
        except AWAY as error:
            self._away(error)
        except psycopg2.Error as error:
            self._one_by_one(error)

    def _away(self, error: Exception) -> None:
        log.warning("database_away", reason=str(error).strip(), worker=self._holder.worker)
        ended, began_ns = self._ended, time.time_ns()
        # The rest of the batch is given back with everything else that the old id holds.
        self._batch = self._batch[: self._at]
        self._count_fenced(len(ended) - self._holder.reconnect(ended.results, ended.decided))
        self._forget(began_ns)

    def _one_by_one(self, error: psycopg2.Error) -> None:
        """Store what has ended row by row."""
        log.error("settle_refused", reason=str(error).strip(), worker=self._holder.worker)
        ended, began_ns = self._ended, time.time_ns()
        try:
            fenced = singly.store(self._holder, ended, self._settings.max_error_characters)
        except AWAY as away:
            self._away(away)
        else:
            self._count_fenced(fenced)
            self._forget(began_ns)

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
                endings.write(hold.hot, hold.worker, ended.decided)
                claims.settle(hold.hot, hold.worker, ended.results)
            self._forget(began_ns, in_handler=True)
        except psycopg2.Error:
            pass  # what has ended stays in self._ended; the settle of the batch's end takes care of it

    def _count_fenced(self, fenced: int) -> None:
        if fenced > 0:
            self._meter.refused(fenced)
            log.warning("results_refused", count=fenced, worker=self._holder.worker)
