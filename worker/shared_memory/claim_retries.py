"""When a queue whose rate is limited has a token again: then an idle process of the worker claims."""

import mmap
import time
from collections.abc import Callable, Sequence

MIN_WAIT_S = 0.005  # so the processes of a worker make at most two hundred such claims a second
_WORD = 8


class ClaimRetries:
    """A time for each queue, in memory that the processes of one worker share. They write it without a lock.

    At worst two of them claim at the same time, or the next poll of the worker makes up for a time that was lost.
    """

    def __init__(self, queues: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        """Create the memory; call before the fork. `clock`: monotonic seconds."""
        self._clock = clock
        self._words = memoryview(mmap.mmap(-1, max(1, len(queues)) * _WORD)).cast("d")
        self._index = {queue: index for index, queue in enumerate(queues)}

    def claim_in(self, queue: str, wait_s: float | None) -> None:
        """Let a process claim from a queue in `wait_s` seconds; None: not by a time."""
        if wait_s is not None and queue in self._index:
            self._words[self._index[queue]] = self._clock() + max(wait_s, MIN_WAIT_S)

    def wait_s(self, most_s: float) -> float:
        """Return for how many seconds no queue is due, at most `most_s`."""
        now = self._clock()
        return max(0.0, min([most_s, *(at - now for at in self._words if at > 0)]))

    def take_due(self) -> list[str]:
        """Return the queues whose time has come. The caller claims from them: no other process does."""
        now, due = self._clock(), list[str]()
        for queue, index in self._index.items():
            if 0 < self._words[index] <= now:
                self._words[index] = 0
                due.append(queue)
        return due
