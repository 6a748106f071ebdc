"""The event loop of a worker process: attempts of `async def` operations, many at a time. Its thread knows no database."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING

import structlog

from common import failpoints
from common.domain.decisions import STOPPED, Failure, timed_out
from common.domain.job import ClaimedJob
from common.settings import Settings
from worker.execution.attempt import failure_of_exception, result_json, run_attempt
from worker.execution.job_context import JobContext
from worker.operations.registry import Context, Operation
from worker.shared_memory.slots import KillReason

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext

HEARTBEATS_PER_TIMEOUT = 10  # in the time after which a loop counts as blocked


class AsyncAttempt:
    """An attempt that runs beside others; what its operation asks and tells goes through it."""

    def __init__(self, job: ClaimedJob, queue: str, on_event: Callable[["AsyncAttempt"], None], clock: Callable[[], float]) -> None:
        """`tell` is called by the loop's thread, for each report of progress and at the end."""
        self.job = job
        self.queue = queue
        self._on_event = on_event
        self._clock = clock
        self.started_at_s = clock()
        self.duration_s = 0.0
        self.task: asyncio.Task[None] | None = None
        self.result: str | Failure | None = None  #: None while it runs
        self.span: SpanContext | None = None  #: None: it is not traced
        self.report: tuple[float | None, str | None] | None = None  #: not stored yet
        self.is_owned = True
        self.cancel_requested_at_s: float | None = None  #: by a client, when

    @property
    def asked_to_stop(self) -> bool:
        """Whether a client wants it to stop."""
        return self.cancel_requested_at_s is not None

    def kill_reason(self, now_s: float, grace_s: float) -> KillReason | None:
        """Return what it is to blame for, for longer than so many seconds; None for nothing."""
        limit_ms = self.job.effective_timeout_ms
        if self.cancel_requested_at_s is not None and now_s - self.cancel_requested_at_s > grace_s:
            return KillReason.IGNORES_CANCEL
        return KillReason.TIMEOUT if limit_ms and now_s - self.started_at_s > limit_ms / 1000 + grace_s else None

    def report_progress(self, _job_id: str, _attempt: int, fraction: float | None, text: str | None) -> bool:
        """Keep how far it is for whoever stores it: the loop waits for no database. Returns False once the job is another's."""
        self.report = fraction, text
        self._on_event(self)
        return self.is_owned

    def finish(self, result: str | Failure) -> None:
        """Say what came of it."""
        self.duration_s = self._clock() - self.started_at_s
        self.result = result
        self._on_event(self)


async def run_async_attempt(job: ClaimedJob, operation: Operation | None, context: Context, settings: Settings) -> str | Failure:
    """Run an attempt as `attempt` does, and end it at its limit. Never raises what the operation raises.

    What comes after the limit or after it was asked to stop, from an operation that lets neither end it, does not count.
    """
    if operation is None or job.is_past_deadline:
        return run_attempt(job, operation, context, settings)  # which runs neither
    limit_ms = job.effective_timeout_ms or None
    try:
        failpoints.reach("run.before_effect")
        async with asyncio.timeout(limit_ms and limit_ms / 1000) as limit:
            value = await operation.run(job.input or "{}", context)
        failpoints.reach("run.after_effect")
        return timed_out(limit_ms) if limit_ms and limit.expired() else result_json(value, settings)
    except BaseException as error:  # noqa: BLE001 - as in `attempt`
        if limit_ms and isinstance(error, TimeoutError) and limit.expired():
            return timed_out(limit_ms)
        return STOPPED if isinstance(error, asyncio.CancelledError) and context.cancelled else failure_of_exception(error, operation, settings)


class EventLoop:
    """A thread that runs what it is given until it is told to end."""

    def __init__(self, settings: Settings, operations: Mapping[str, Operation], pulse: Callable[[], None]) -> None:
        """`pulse` is called again and again while nothing blocks the loop."""
        self._settings = settings
        self._operations = operations
        self._heartbeat = pulse
        self._loop = asyncio.new_event_loop()
        self._attempts: dict[asyncio.Task[None], AsyncAttempt] = {}
        self.traced = False
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="event-loop", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def start_attempts(self, attempts: Iterable[AsyncAttempt]) -> None:
        """Run these, beside what runs. Of any thread."""
        self._loop.call_soon_threadsafe(self._start_attempts, list(attempts))

    def cancel(self, attempt: AsyncAttempt) -> None:
        """Raise CancelledError in a run, once. Of any thread."""
        self._loop.call_soon_threadsafe(self._cancel, attempt)

    def current_attempt(self) -> AsyncAttempt | None:
        """Return the run whose code the loop is in, None when it is in none. Of any thread, a guess unless the loop stands still."""
        task = asyncio.current_task(self._loop)
        return None if task is None else self._attempts.get(task)

    def stop(self) -> None:
        """End the thread once its step is done. Of any thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        self._loop.call_soon(self._beat)
        self._loop.run_forever()

    def _beat(self) -> None:
        self._heartbeat()
        self._loop.call_later(self._settings.async_block_seconds / HEARTBEATS_PER_TIMEOUT, self._beat)

    def _start_attempts(self, attempts: list[AsyncAttempt]) -> None:
        for run in attempts:
            run.task = self._loop.create_task(self._run_attempt(run))
            self._attempts[run.task] = run
            run.task.add_done_callback(self._done)

    def _cancel(self, attempt: AsyncAttempt) -> None:
        if attempt.task is not None:
            attempt.task.cancel()

    async def _run_attempt(self, attempt: AsyncAttempt) -> None:
        job = attempt.job
        structlog.contextvars.bind_contextvars(job_id=job.id, attempt=job.attempt)  # of this task alone, as is the current span
        context = JobContext(job, attempt, self._settings.progress_seconds)
        if not self.traced or job.trace is None:
            attempt.finish(await run_async_attempt(job, self._operations.get(job.operation), context, self._settings))
            return
        from worker.tracing.spans import Spans

        spans = Spans()
        spans.begin(job, attempt.queue)
        came = await run_async_attempt(job, self._operations.get(job.operation), context, self._settings)
        attempt.span = spans.end(came)
        attempt.finish(came)

    def _done(self, task: "asyncio.Task[None]") -> None:
        run = self._attempts.pop(task)
        if run.result is None:  # stopped before its first step
            run.finish(STOPPED)
