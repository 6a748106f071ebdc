"""The time limit of a plain operation in a test: an alarm in the main thread, a thread of its own elsewhere.

A worker kills the process of an attempt that runs too long. A test has to go on, so it raises an exception in the
operation, which code in C does not see before it returns. In another thread than the main one the operation is left to
itself.
"""

import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from types import FrameType
from typing import TypeVar

T = TypeVar("T")
SHORTEST_S = 0.001  # limit that can be set


class TimeLimitExceeded(BaseException):
    """The attempt ran too long. No Exception: an operation that handles all of those would go on."""


def call_limited(function: Callable[[], T], seconds: float | None) -> T:
    """Call a function. Raises TimeLimitExceeded after some seconds; None: there is no limit."""
    if seconds is None:
        return function()
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        return _in_thread(function, seconds)
    remaining_s, _ = signal.getitimer(signal.ITIMER_REAL)
    return function() if 0 < remaining_s <= seconds else _with_alarm(function, seconds)


def _with_alarm(function: Callable[[], T], seconds: float) -> T:
    """Raise TimeLimitExceeded in the main thread. A timer of others, such as pytest-timeout, goes on afterwards."""
    is_expired = False

    def expire(_signal: int, _frame: FrameType | None) -> None:
        nonlocal is_expired
        is_expired = True
        raise TimeLimitExceeded

    handler, began_s = signal.signal(signal.SIGALRM, expire), time.monotonic()
    remaining_s, interval_s = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        result = function()
    except BaseException as error:
        if is_expired and not isinstance(error, TimeLimitExceeded):
            raise TimeLimitExceeded from error
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if remaining_s:
            left_s = remaining_s - (time.monotonic() - began_s)
            signal.setitimer(signal.ITIMER_REAL, max(SHORTEST_S, left_s), interval_s)
    if is_expired:  # the operation has handled it; a worker would have ended its process
        raise TimeLimitExceeded
    return result


def _in_thread(function: Callable[[], T], seconds: float) -> T:
    ended: Future[T] = Future()

    def call() -> None:
        try:
            ended.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the caller
            ended.set_exception(error)

    threading.Thread(target=copy_context().run, args=(call,), name="attempt", daemon=True).start()
    try:
        return ended.result(seconds)
    except TimeoutError as error:
        if ended.done():  # the function's own
            raise
        raise TimeLimitExceeded from error
