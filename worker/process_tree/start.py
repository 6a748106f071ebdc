"""The start of a worker process, so that the programs and processes of operations behave as anywhere else."""

import multiprocessing.process as standard
import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any]
_MAIN_PROCESS = standard.current_process()  # read in the worker's parent, before Celery forks


def detach() -> None:
    """Give this process its own group, and let it have children by `multiprocessing`.

    A signal to the group of the worker's parent then reaches the parent alone.
    """
    os.setpgid(0, 0)
    # Celery makes its process, a daemon, the current one of `multiprocessing`, whose daemons may have no children.
    standard._current_process = _MAIN_PROCESS  # type: ignore[attr-defined]  # noqa: SLF001 - no public name


def ignore_termination() -> None:
    """Ignore SIGTERM, SIGHUP and SIGINT in this process: they are meant for its parent, which drains.

    They are ignored by a handler, which no program inherits. Forks get back the default handlers of all signals for
    which this process has its own.
    """
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGXFSZ}:
        if number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, _ignore)
        elif signal.getsignal(number) == signal.SIG_IGN:  # by Celery, which would be inherited
            signal.signal(number, signal.SIG_DFL)
    _Forks({number: handler for number in signal.valid_signals() if callable(handler := signal.getsignal(number))})


class _Forks:
    """Restores default handlers in forks. Signals that arrive earlier stay pending until then."""

    def __init__(self, own: Mapping[signal.Signals, _Handler]) -> None:
        self._own = own
        self._mask = threading.local()  # of the thread that forks
        os.register_at_fork(before=self._block, after_in_parent=self._unblock, after_in_child=self._restore_defaults)

    def _block(self) -> None:
        self._mask.value = signal.pthread_sigmask(signal.SIG_BLOCK, self._own)

    def _unblock(self) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask.value)

    def _restore_defaults(self) -> None:
        for number, handler in self._own.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._unblock()


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    pass
