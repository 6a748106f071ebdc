"""The hooks of a worker process: functions of packages that run at its start and at its stop (jobproc.hooks)."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from common.settings import Settings
from common.telemetry import logs
from jobproc import hooks
from jobproc.hooks import Hook
from worker.execution.event_loop import AsyncFunction

log = logs.get("worker")


class TimeLimitExceeded(BaseException):
    """The hooks took too long. No Exception: a hook that handles all of those would go on."""


class ProcessHooks:
    """Runs the hooks of one worker process, in its main thread or in its event loop."""

    def __init__(self, settings: Settings, run_async: Callable[[AsyncFunction], object] | None) -> None:
        """`run_async` calls an `async def` function in the event loop and waits for its end.

        None: no operation is `async def`, so there is no event loop, and no hook of one is called.
        """
        self._settings = settings
        self._run_async = run_async

    def start(self) -> bool:
        """Call all start hooks, in the order of their declaration, until one fails. Return True if none has failed."""
        called: Hook | None = None
        try:
            with _time_limit(self._settings.process_start_timeout_seconds):
                for called in self._callable(hooks.process_start):
                    self._call(called)
        except BaseException as error:  # whatever the code of a package raises, even SystemExit
            pause_s = self._settings.process_restart_pause_seconds
            log.error("process_start_failed", hook=_name(called), reason=_reason(error), pause_s=pause_s)  # noqa: TRY400 - the traceback is the line below
            log.debug("process_hook_failed", hook=_name(called), exc_info=error)
            return False
        return True

    def stop(self) -> None:
        """Call all stop hooks, the last one first, until the time is up."""
        called: Hook | None = None
        try:
            with _time_limit(self._settings.process_stop_timeout_seconds):
                for called in reversed(self._callable(hooks.process_stop)):
                    try:
                        self._call(called)
                    except TimeLimitExceeded:
                        raise
                    except BaseException as error:  # noqa: BLE001 - as above
                        _log_failed_stop(called, error)
        except TimeLimitExceeded as error:
            _log_failed_stop(called, error)

    def _callable(self, declared: list[Hook]) -> list[Hook]:
        return [hook for hook in declared if self._run_async is not None or not hook.is_async]

    def _call(self, hook: Hook) -> None:
        if not hook.is_async:
            hook.function()
        elif self._run_async is not None:
            self._run_async(hook.function)


def skipped_hooks() -> list[str]:
    """Return the names of the process hooks that need an event loop: without one they are not called."""
    return [hook.name for hook in (*hooks.process_start, *hooks.process_stop) if hook.is_async]


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the main thread after some seconds. The parent ends a process that blocks signals."""

    def expire(_signal: int, _frame: FrameType | None) -> None:
        raise TimeLimitExceeded(f"the hooks took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _log_failed_stop(hook: Hook | None, error: BaseException) -> None:
    log.warning("process_stop_failed", hook=_name(hook), reason=_reason(error))
    log.debug("process_hook_failed", hook=_name(hook), exc_info=error)


def _name(hook: Hook | None) -> str | None:
    return None if hook is None else hook.name


def _reason(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - an exception whose __str__ raises
        return type(error).__name__
