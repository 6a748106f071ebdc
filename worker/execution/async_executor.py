"""Jobs of `async def` operations: claimed, settled and watched over by a thread of their own, run by the event loop of their process.

To the database it is a worker beside the one of its process: with an id, a lease, low-water marks and a connection of its own. It knows
the `async def` operations, the other one all others, so neither waits for the other, and neither claims what it cannot run.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextvars import copy_context

from common.broker.doorbells import Bell
from common.domain.decisions import Failure
from common.domain.job import Claimed
from common.settings import Settings
from common.store.connection.psycopg2_session import AWAY
from common.store.workers import leases
from common.telemetry import logs
from worker.execution.event_loop import EventLoop, Run
from worker.execution.pending_results import Endings
from worker.execution.settlement import MOST_CHARACTERS, Exchange
from worker.execution.worker_session import Holder
from worker.operations.registry import Operation
from worker.shared_memory.metrics import Outcome
from worker.shared_memory.slots import IDLE, Blame, Seat, Seats

log = logs.get("worker")
Handed = tuple[int, str, list[Claimed]]  # who has claimed them, from which queue


class Together(Exchange):
    """Runs up to `async_jobs` at a time."""

    def __init__(self, settings: Settings, holder: Holder, seats: Seats, seat: Seat, operations: Mapping[str, Operation], bell: Bell) -> None:
        """`seat` is one of its own; `operations` those that are `async def`."""
        super().__init__(settings, holder, seat.meter, operations)
        self._seats = seats
        self._seat = seat
        self._bell = bell
        self.knows = [name for one in operations.values() for name in one.spec.knows]  #: as a claim compares it
        self._told = deque[Run]()  # by the loop: it has ended, or reports progress
        self._handed = deque[Handed]()  # by the process
        self._rung: set[str] = set()  # queues, by the process
        self._due: dict[str, None] = {}  # queues that may have more, in turn
        self._runs: dict[str, Run] = {}  # by job
        self._alone: list[tuple[str, Claimed]] = []  # waits until nothing else runs
        self._wake = threading.Event()
        self._leaving = False
        self._is_broken = False
        self._shown: list[str] = []  # jobs, as the parent sees them
        self._rang_s: dict[str, float] = {}  # by queue
        self._looked_s = self._asked_s = self._pulse_s = time.perf_counter()
        self._loop = EventLoop(settings, operations, self._pulse)
        self._thread = threading.Thread(target=copy_context().run, args=(self._go_on,), name="together", daemon=True)

    # --- of the process's thread

    def take(self, worker: int, queue: str, jobs: list[Claimed]) -> None:
        """Run these, which that worker has claimed from a queue, as far as there is room. Begins with the first call."""
        self._handed.append((worker, queue, jobs))
        self._wake.set()
        if self._thread.ident is None:
            self._loop.traced = self.spans is not None
            self._loop.start()
            self._thread.start()

    def look_at(self, queue: str) -> None:
        """Look for work in a queue: its doorbell has rung."""
        self._rung.add(queue)
        self._wake.set()

    def leave(self) -> None:
        """Claim no more and wait until all has ended; at the end of the grace the parent ends this process."""
        self._leaving = True
        self._wake.set()
        self._thread.join(self._settings.grace_seconds * 2)

    # --- of the loop's thread

    def _pulse(self) -> None:
        self._pulse_s = time.perf_counter()
        self._seat.pulse()

    def _tell(self, run: Run) -> None:
        self._told.append(run)
        self._wake.set()

    # --- of its own thread

    def _go_on(self) -> None:
        settings = self._settings
        pause_s = min(settings.tick_seconds, settings.cancel_check_seconds, settings.async_block_seconds / 4)
        while self._runs or self._handed or not self._leaving:
            self._wake.wait(pause_s)
            self._wake.clear()
            try:
                self._turn()
            except Exception:
                log.exception("serving_failed", worker=self._holder.worker)
                self._is_broken = True
        self._loop.end()

    def _turn(self) -> None:
        """Take in what has happened, let begin what may."""
        if self._is_broken or self._holder.lost:
            self._mend()
        self._hear()
        self._ask_who_is_to_stop()
        self._find_who_holds_up()
        self._take_handed()
        self._claim()
        self._run_alone()
        self._settle()
        self._show()

    def _mend(self) -> None:
        if self._is_broken:  # what had ended and is not stored runs again
            self._ended = Endings()
        self._come_back()
        self._is_broken = False

    def _under_way(self) -> Sequence[Claimed]:
        return [run.job for run in self._runs.values()]

    def _come_back(self) -> None:
        self._alone = []  # given back with everything else that the old id holds
        super()._come_back()
        for job_id, run in self._runs.items():
            if job_id not in self._holder.kept:
                run.is_ours = False
                self._loop.stop(run)

    def _hear(self) -> None:
        """Take in what the loop tells."""
        while self._told and self._ended.results.characters < MOST_CHARACTERS:
            run = self._told.popleft()
            if run.came is not None:
                self._take_in(run, run.came)
            elif run.report is not None and run.is_ours:
                report, run.report = run.report, None
                run.is_ours = self._holder.report_progress(run.job.id, run.job.attempt, *report)
        if self._told:
            self._wake.set()

    def _take_in(self, run: Run, came: str | Failure) -> None:
        job, took_s = run.job, run.took_s
        if self._runs.get(job.id) is not run:  # it was told of twice
            return
        del self._runs[job.id]
        if isinstance(came, str):
            how = Outcome.SUCCESS
            self._ended.results.add(job, came, took_s)
        else:
            how = self._failed(job, self._operations.get(job.operation), came, took_s)
        self._meter.ended(job.operation, run.queue, Outcome.CANCELLED if run.asked_to_stop else how, took_s)
        if run.span is not None:
            self._ended.spans.append((run.queue, run.span))
            self._meter.ran_in(run.span.trace_id, job.operation, run.queue, took_s)

    def _ask_who_is_to_stop(self) -> None:
        """Look up which of those that have run for a while their clients want to stop, and tell them."""
        now_s, every_s = time.perf_counter(), self._settings.cancel_check_seconds
        long = [run for run in self._runs.values() if now_s - run.began_s >= every_s and not run.asked_to_stop]
        if not long or now_s - self._asked_s < every_s:
            return
        self._asked_s, worker = now_s, self._holder.worker
        try:
            asked = leases.asked_to_stop(self._holder.hot, [(run.job.id, run.job.attempt, worker) for run in long])
        except AWAY as error:
            self._away(error)
            return
        for run in long:
            if (worker, run.job.id) in asked:
                run.stop_asked_s = now_s
                self._loop.stop(run)
                log.info("job_asked_to_stop", worker=worker, job_id=run.job.id, attempt=run.job.attempt)

    def _find_who_holds_up(self) -> None:
        """Tell the parent whom it is to end this process for, or would have to if nothing changes."""
        now_s, grace_s = time.perf_counter(), self._settings.cancel_grace_seconds
        blamed = next(((run, what) for run in self._runs.values() if (what := run.overdue(now_s, grace_s))), None)
        if blamed is None and now_s - self._pulse_s > self._settings.async_block_seconds / 2 and (run := self._loop.at_work()):
            blamed = run, Blame.HOLDS_UP
        if blamed is None or blamed[0].job.id not in self._shown:
            self._seat.blame(IDLE, Blame.HOLDS_UP)
        else:
            self._seat.blame(self._shown.index(blamed[0].job.id), blamed[1])

    def _take_handed(self) -> None:
        while self._handed:
            worker, queue, jobs = self._handed.popleft()
            self._due[queue] = None
            try:
                ours = leases.take_over(self._holder.hot, self._holder.worker, [worker], [(job.id, job.attempt) for job in jobs])
            except AWAY as error:
                self._handed.appendleft((worker, queue, jobs))  # where that stood, all are given back, and nothing is left to take over
                self._away(error)
            else:
                self._begin(queue, [job for job in jobs if job.id in ours])

    @property
    def _stays(self) -> bool:
        return not (self._leaving or self._seats.draining)

    @property
    def _room(self) -> int:
        """How many more may run now: none beside one that is to run alone."""
        alone = self._alone or any(run.job.alone for run in self._runs.values())
        return 0 if alone or not self._stays else min(self._settings.async_jobs - len(self._runs), self._settings.max_claim_jobs)

    def _claim(self) -> None:
        """Settle what has ended and fill the room, over the queues that may have work in turn."""
        now_s = time.perf_counter()
        while self._rung:
            self._due[self._rung.pop()] = None
        if now_s - self._looked_s >= self._settings.tick_seconds:  # its process may be in a long job and hear no doorbell
            self._due.update(dict.fromkeys(self._holder.queues))
        for queue in list(self._due):
            wanted = self._room
            if wanted <= 0:
                return
            self._looked_s = now_s
            del self._due[queue]
            jobs = self._exchange(queue, wanted)
            if len(jobs) == wanted:
                self._due[queue] = None  # behind the others
                self._wake_another(queue, now_s)
            self._begin(queue, jobs)

    def _wake_another(self, queue: str, now_s: float) -> None:
        # There may be more than this process has room for. Who is woken goes on by itself, so seldom is enough.
        self._wake.set()
        if now_s - self._rang_s.get(queue, float("-inf")) >= self._settings.tick_seconds:
            self._rang_s[queue] = now_s
            self._bell.ring(queue)

    def _begin(self, queue: str, jobs: Sequence[Claimed]) -> None:
        """Let jobs begin as far as there is room; the others are given back, or wait to run alone."""
        ready, room, worker = list[Claimed](), self._room, self._holder.worker
        for job in jobs:
            if job.operation not in self._operations:  # stored by a version that did not write down what a worker has to know
                self._give_back(queue, [job])
            elif job.alone:
                self._alone.append((queue, job))
            elif len(ready) == room:
                self._give_back(queue, [job])
            elif self._may_run(job):
                ready.append(job)
            if self._holder.worker != worker:  # the connection was lost, and with it all that has not begun
                return
        self._start(queue, ready)

    def _run_alone(self) -> None:
        """Let the first of those begin that run alone, once nothing else runs."""
        while self._alone and not (self._runs and self._stays):
            queue, job = self._alone.pop(0)
            if not self._stays:
                self._give_back(queue, [job])
            elif self._may_run(job):
                self._start(queue, [job])

    def _start(self, queue: str, jobs: Sequence[Claimed]) -> None:
        runs = [Run(job, queue, self._tell, time.perf_counter) for job in jobs]
        self._runs.update((run.job.id, run) for run in runs)
        self._show()
        if runs:
            self._loop.begin(runs)

    def _show(self) -> None:
        """Write down what runs, for the parent."""
        if self._shown != list(self._runs):
            self._shown = list(self._runs)
            self._seat.run_together(self._under_way())
