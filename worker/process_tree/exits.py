"""The exits of a worker's processes, as its parent sees them: which it decided on itself, and the codes of the others.

The supervisor's thread kills processes; the pool's thread reads their exit codes, which the kernel tells only once.
"""

import os
import signal

MAX_CODES = 256  # kept of processes that the supervisor never asks about, such as one that ended before its first job


class ProcessExits:
    """Exit codes by pid. Each method is one step of a dict, so that two threads need no lock."""

    def __init__(self) -> None:
        self._codes: dict[int, int] = {}
        self._expected: set[int] = set()

    def expect(self, pid: int) -> None:
        """Take note that the supervisor is about to kill a process."""
        self._expected.add(pid)

    def is_expected(self, pid: int) -> bool:
        """Return True if the supervisor has killed the process."""
        return pid in self._expected

    def add(self, pid: int, code: int) -> None:
        """Take note of the exit code that the pool has read; a signal is a negative number."""
        if pid in self._expected:
            self._expected.discard(pid)
            return
        self._codes[pid] = code
        if len(self._codes) > MAX_CODES:
            del self._codes[next(iter(self._codes))]

    def code(self, pid: int) -> int | None:
        """Return the exit code of a process that has ended; None: it is not known, or not yet."""
        try:  # without reading it: it is the pool's to read
            status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # the pool has read it
            return self._codes.get(pid)
        if status is None:
            return None
        return status.si_status if status.si_code == os.CLD_EXITED else -status.si_status

    def forget(self, pid: int) -> None:
        """Forget the exit code of a process whose jobs are recovered."""
        self._codes.pop(pid, None)


def described_exit(code: int) -> str:
    """Return how a process ended, such as `was ended by SIGSEGV` or `ended with exit code 3`."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal
        return f"was ended by signal {-code}"
