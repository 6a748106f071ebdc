"""The event loop of a worker process: attempts of `async def` operations, many at a time.

Its thread never uses the database.
"""

import asyncio
import threading
import traceback
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import Context as Variables
from contextvars import ContextVar, copy_context
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog

from common import failpoints
from common.domain.decisions import STOPPED, Failure, timed_out
from common.domain.job import ClaimedJob
from common.settings import Settings
from common.store.dependencies.parents import ParentOutcome
from common.telemetry import logs
from jobproc import Context, hooks
from worker.execution.attempt import failure_of_exception, printable_traceback, result_json, run_attempt
from worker.execution.job_context import JobContext
from worker.job_logs.attempt_log import OperationLogs
from worker.operations.installed import InstalledOperation
from worker.shared_memory.slots import KillReason

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext

log = logs.get("worker")
AsyncFunction = Callable[[], Coroutine[Any, Any, object]]
HEARTBEATS_PER_TIMEOUT = 10  # in `event_loop_block_timeout_seconds`, after which a loop counts as blocked


class AsyncAttempt:
    """An attempt that runs beside others in the event loop. Links its JobContext and the async executor."""

    def __init__(
        self, job: ClaimedJob, queue: str, on_event: Callable[["AsyncAttempt"], None], clock: Callable[[], float]
    ) -> None:
        """`on_event` is called in the loop's thread for each progress report and at the end. `clock` counts seconds."""
        self.job = job
        self.queue = queue
        self._on_event = on_event
        self._clock = clock
        self.started_at_s = clock()
        self.duration_s = 0.0
        self.task: asyncio.Task[None] | None = None
        self.result: str | Failure | None = None  #: None while the attempt runs
        self.span: SpanContext | None = None  #: None: the job is not traced
        self.report: tuple[float | None, str | None] | None = None  #: progress that is not stored yet
        self.is_owned = True  #: False once the job is another worker's
        self.cancel_requested_at_s: float | None = None  #: when its task was cancelled for a client
        self.exit: BaseException | None = None  #: the SystemExit or KeyboardInterrupt of a task or callback of it
        self._exited_at_s = 0.0
        #: What its parents came to, read before it starts; None: it has none, or the database was unavailable.
        self.parents: list[ParentOutcome] | None = None

    @property
    def is_cancel_requested(self) -> bool:
        """True if a client has cancelled the job."""
        return self.cancel_requested_at_s is not None

    def kill_reason(self, now_s: float, grace_s: float) -> KillReason | None:
        """Return the reason to kill the process: the attempt ran `grace_s` past a limit. None: there is no reason."""
        limit_ms = self.job.effective_timeout_ms
        if self.exit is not None and now_s - self._exited_at_s > grace_s:
            return KillReason.IGNORES_EXIT
        if self.cancel_requested_at_s is not None and now_s - self.cancel_requested_at_s > grace_s:
            return KillReason.IGNORES_CANCEL
        return KillReason.TIMEOUT if limit_ms and now_s - self.started_at_s > limit_ms / 1000 + grace_s else None

    def report_progress(self, _job_id: str, _attempt: int, fraction: float | None, text: str | None) -> bool:
        """Hand the progress to the executor's thread, which stores it: the loop does not wait for the database.

        Returns False once the job is another worker's.
        """
        self.report = fraction, text
        self._on_event(self)
        return self.is_owned

    def read_parents(self, _job_id: str) -> list[ParentOutcome] | None:
        """Return what the parents of the job came to. None: the database was unavailable."""
        return self.parents

    def end_by(self, error: BaseException) -> None:
        """Fail the attempt for the SystemExit or KeyboardInterrupt of one of its tasks, once its own task has ended."""
        if self.exit is None and self.task is not None:
            self.exit, self._exited_at_s = error, self._clock()
            self.task.cancel()

    def finish(self, result: str | Failure) -> None:
        """Record the end of the attempt and notify the executor."""
        self.duration_s = self._clock() - self.started_at_s
        self.result = result
        self._on_event(self)


async def run_async_attempt(
    job: ClaimedJob, operation: InstalledOperation | None, context: Context, settings: Settings
) -> str | Failure:
    """Run an attempt as `run_attempt` does, with its timeout. Never raises an exception of the operation.

    An operation may suppress the CancelledError of its timeout; the value that it then returns is ignored. A value that
    is returned after a client's cancellation is ignored by the settle.
    """
    if operation is None or job.is_past_deadline:
        return run_attempt(job, operation, context, settings)  # fails both without running them
    limit_ms = job.effective_timeout_ms or None
    try:
        failpoints.reach("attempt.before_operation")
        async with asyncio.timeout(limit_ms and limit_ms / 1000) as limit:
            if hooks.around_attempts:  # as in `run_attempt`
                async with hooks.surround_async(operation.declared, context):
                    result = result_json(await operation.declared.run(job.input or "{}", context), operation, settings)
            else:
                result = result_json(await operation.declared.run(job.input or "{}", context), operation, settings)
        failpoints.reach("attempt.after_operation")
        return timed_out(limit_ms) if limit_ms and limit.expired() else result
    except BaseException as error:  # noqa: BLE001 - as in `run_attempt`
        if limit_ms and isinstance(error, TimeoutError) and limit.expired():  # its traceback shows where it waited
            return replace(timed_out(limit_ms), traceback=printable_traceback(error, operation, settings))
        return (
            STOPPED
            if isinstance(error, asyncio.CancelledError) and context.cancelled
            else failure_of_exception(error, operation, settings)
        )


#: The attempt of the task or callback that the loop executes.
_current: ContextVar[AsyncAttempt | None] = ContextVar("jobproc_attempt", default=None)


def _attempt_of(error: BaseException) -> AsyncAttempt | None:
    """Return the attempt whose task or callback has raised an error out of the loop. None: it is unknown."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        handle = frame.f_locals.get("self")
        if isinstance(handle, asyncio.Handle):  # the loop's call of a callback, in the context that this was given
            variables: Variables = handle._context  # type: ignore[attr-defined]  # noqa: SLF001 - public in Python 3.12
            return variables.get(_current)
    return None


class EventLoop:
    """A thread with an event loop, which runs attempts until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        operations: Mapping[str, InstalledOperation],
        heartbeat: Callable[[], None],
        on_death: Callable[[], None],
    ) -> None:
        """`heartbeat` is called by the loop, ten times in the block timeout unless an operation blocks the loop.

        `on_death` is called in the loop's thread once the loop cannot go on, although nobody has stopped it.
        """
        self._settings = settings
        self._operations = operations
        self._heartbeat = heartbeat
        self._on_death = on_death
        self._is_stopping = False
        self._loop = asyncio.new_event_loop()
        self._attempts: dict[asyncio.Task[None], AsyncAttempt] = {}
        self.traced = False
        self.operation_logs: OperationLogs | None = None  #: None: what operations log is not captured
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), name="event-loop", daemon=True)

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._thread.ident is None:
            self._thread.start()

    def call(self, function: AsyncFunction) -> None:
        """Call an `async def` function in the loop and wait for its end. Raises what it raises."""
        self.start()
        call = asyncio.run_coroutine_threadsafe(function(), self._loop)
        try:
            call.result()
        finally:
            call.cancel()  # if the wait was interrupted

    def start_attempts(self, attempts: Iterable[AsyncAttempt]) -> None:
        """Run attempts, beside those that run already. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._start_attempts, list(attempts))

    def cancel(self, attempt: AsyncAttempt) -> None:
        """Raise CancelledError in an attempt, once. Callable from any thread."""
        self._loop.call_soon_threadsafe(self._cancel, attempt)

    def current_attempt(self) -> AsyncAttempt | None:
        """Return the attempt whose code the loop executes, None if it executes none.

        Callable from any thread. The answer is a guess unless the loop is blocked.
        """
        task = asyncio.current_task(self._loop)
        return None if task is None else self._attempts.get(task)

    def stop(self) -> None:
        """End the thread after its current step. Callable from any thread."""
        self._is_stopping = True
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        """Run the loop until it is stopped by `stop`, whatever operations do."""
        self._loop.call_soon(self._beat)
        try:
            while not self._is_stopping:
                try:
                    self._loop.run_forever()  # an operation may have stopped the loop: then it goes on
                except (SystemExit, KeyboardInterrupt) as error:  # asyncio lets them through, alone of all exceptions
                    self._fail_attempt(error)
        except BaseException:  # such as one of the loop's own code
            log.exception("event_loop_failed")
            self._on_death()

    def _fail_attempt(self, error: BaseException) -> None:
        """Fail the attempt whose task or callback has raised an error that ends a loop."""
        attempt = _attempt_of(error)
        log.warning(
            "exit_in_event_loop",
            error=type(error).__name__,
            job_id=attempt.job.id if attempt else None,
            attempt=attempt.job.attempt if attempt else None,
        )
        if attempt is not None and attempt.result is None:
            attempt.end_by(error)

    def _beat(self) -> None:
        self._heartbeat()
        self._loop.call_later(self._settings.event_loop_block_timeout_seconds / HEARTBEATS_PER_TIMEOUT, self._beat)

    def _start_attempts(self, attempts: list[AsyncAttempt]) -> None:
        for attempt in attempts:
            attempt.task = self._loop.create_task(self._run_attempt(attempt))
            self._attempts[attempt.task] = attempt
            attempt.task.add_done_callback(self._done)

    def _cancel(self, attempt: AsyncAttempt) -> None:
        if attempt.task is not None:
            attempt.task.cancel()

    async def _run_attempt(self, attempt: AsyncAttempt) -> None:
        job = attempt.job
        # Context variables, like the current span, belong to this task and to those that it starts.
        _current.set(attempt)
        structlog.contextvars.bind_contextvars(job_id=job.id, attempt=job.attempt)
        context = JobContext(job, attempt, self._settings)
        if not self.traced or job.trace is None:
            attempt.finish(await self._result(attempt, context))
            return
        from worker.tracing.spans import Spans

        spans = Spans()
        spans.start_attempt(job, attempt.queue)
        result = await self._result(attempt, context)
        attempt.span = spans.end_attempt(result)
        attempt.finish(result)

    async def _result(self, attempt: AsyncAttempt, context: JobContext) -> str | Failure:
        operation = self._operations.get(attempt.job.operation)
        logs_ = self.operation_logs
        log_of_attempt = logs_.begin(attempt.job, attempt.queue) if logs_ is not None else None
        result = await run_async_attempt(attempt.job, operation, context, self._settings)
        if log_of_attempt is not None:
            log_of_attempt.end()
        if attempt.exit is None or operation is None:
            return result
        return failure_of_exception(attempt.exit, operation, self._settings)

    def _done(self, task: "asyncio.Task[None]") -> None:
        attempt = self._attempts.pop(task)
        if attempt.result is None:  # cancelled before its first step
            attempt.finish(STOPPED)
