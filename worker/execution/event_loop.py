"""The event loop of a worker process: attempts of `async def` operations, many at a time. Its thread knows no database."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog

from common import failpoints
from common.domain.decisions import STOPPED, Failure, timed_out
from common.domain.job import Claimed
from common.settings import Settings
from worker.execution.attempt import attempt, failure_of, result_of
from worker.execution.job_context import Progress
from worker.operations.registry import Context, Operation
from worker.shared_memory.slots import Blame

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext

PULSES = 10  # in the time after which a loop counts as blocked


class Run:
    """An attempt that runs beside others; what its operation asks and tells goes through it."""

    def __init__(self, job: Claimed, queue: str, tell: Callable[["Run"], None], clock: Callable[[], float]) -> None:
        """`tell` is called by the loop's thread, for each report of progress and at the end."""
        self.job = job
        self.queue = queue
        self._tell = tell
        self._clock = clock
        self.began_s = clock()
        self.took_s = 0.0
        self.task: asyncio.Task[None] | None = None
        self.came: str | Failure | None = None  #: None while it runs
        self.span: SpanContext | None = None  #: None: it is not traced
        self.report: tuple[float | None, str | None] | None = None  #: not stored yet
        self.is_ours = True
        self.stop_asked_s: float | None = None  #: by a client, when

    @property
    def asked_to_stop(self) -> bool:
        """Whether a client wants it to stop."""
        return self.stop_asked_s is not None

    def overdue(self, now_s: float, grace_s: float) -> Blame | None:
        """Return what it is to blame for, for longer than so many seconds; None for nothing."""
        limit_ms = self.job.limit_ms
        if self.stop_asked_s is not None and now_s - self.stop_asked_s > grace_s:
            return Blame.GOES_ON
        return Blame.OVERRUNS if limit_ms and now_s - self.began_s > limit_ms / 1000 + grace_s else None

    def report_progress(self, _job_id: str, _attempt: int, fraction: float | None, text: str | None) -> bool:
        """Keep how far it is for whoever stores it: the loop waits for no database. Returns False once the job is another's."""
        self.report = fraction, text
        self._tell(self)
        return self.is_ours

    def end(self, came: str | Failure) -> None:
        """Say what came of it."""
        self.took_s = self._clock() - self.began_s
        self.came = came
        self._tell(self)


async def attempt_beside_others(job: Claimed, operation: Operation | None, context: Context, settings: Settings) -> str | Failure:
    """Run an attempt as `attempt` does, and end it at its limit. Never raises what the operation raises.

    What comes after the limit or after it was asked to stop, from an operation that lets neither end it, does not count.
    """
    if operation is None or job.is_late:
        return attempt(job, operation, context, settings)  # which runs neither
    limit_ms = job.limit_ms or None
    try:
        failpoints.reach("run.before_effect")
        async with asyncio.timeout(limit_ms and limit_ms / 1000) as limit:
            value = await operation.run(job.input or "{}", context)
        failpoints.reach("run.after_effect")
        return timed_out(limit_ms) if limit_ms and limit.expired() else result_of(value, settings)
    except BaseException as error:  # noqa: BLE001 - as in `attempt`
        if limit_ms and isinstance(error, TimeoutError) and limit.expired():
            return timed_out(limit_ms)
        return STOPPED if isinstance(error, asyncio.CancelledError) and context.cancelled else failure_of(error, operation, settings)


class EventLoop:
    """A thread that runs what it is given until it is told to end."""

    def __init__(self, settings: Settings, operations: Mapping[str, Operation], pulse: Callable[[], None]) -> None:
        """`pulse` is called again and again while nothing blocks the loop."""
        self._settings = settings
        self._operations = operations
        self._pulse = pulse
        self._loop = asyncio.new_event_loop()
        self._runs: dict[asyncio.Task[None], Run] = {}
        self.traced = False
        self._thread = threading.Thread(target=copy_context().run, args=(self._go_on,), name="event-loop", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def begin(self, runs: Iterable[Run]) -> None:
        """Run these, beside what runs. Of any thread."""
        self._loop.call_soon_threadsafe(self._begin, list(runs))

    def stop(self, run: Run) -> None:
        """Raise CancelledError in a run, once. Of any thread."""
        self._loop.call_soon_threadsafe(self._stop, run)

    def at_work(self) -> Run | None:
        """Return the run whose code the loop is in, None when it is in none. Of any thread, a guess unless the loop stands still."""
        task = asyncio.current_task(self._loop)
        return None if task is None else self._runs.get(task)

    def end(self) -> None:
        """End the thread once its step is done. Of any thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _go_on(self) -> None:
        self._loop.call_soon(self._pulse_again)
        self._loop.run_forever()

    def _pulse_again(self) -> None:
        self._pulse()
        self._loop.call_later(self._settings.async_block_seconds / PULSES, self._pulse_again)

    def _begin(self, runs: list[Run]) -> None:
        for run in runs:
            run.task = self._loop.create_task(self._attempt(run))
            self._runs[run.task] = run
            run.task.add_done_callback(self._done)

    def _stop(self, run: Run) -> None:
        if run.task is not None:
            run.task.cancel()

    async def _attempt(self, run: Run) -> None:
        job = run.job
        structlog.contextvars.bind_contextvars(job_id=job.id, attempt=job.attempt)  # of this task alone, as is the current span
        context = Progress(job, run, self._settings.progress_seconds)
        if not self.traced or job.trace is None:
            run.end(await attempt_beside_others(job, self._operations.get(job.operation), context, self._settings))
            return
        from worker.tracing.spans import Spans

        spans = Spans()
        spans.begin(job, run.queue)
        came = await attempt_beside_others(job, self._operations.get(job.operation), context, self._settings)
        run.span = spans.end(came)
        run.end(came)

    def _done(self, task: "asyncio.Task[None]") -> None:
        run = self._runs.pop(task)
        if run.came is None:  # stopped before its first step
            run.end(STOPPED)
