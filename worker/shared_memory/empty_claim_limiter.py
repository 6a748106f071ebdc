"""The rate limit of empty claims: those for doorbells behind which no job is, in all processes of a worker together."""

import mmap
import time
from collections.abc import Callable, Sequence

BURST_S = 1.0  # claims for so long at the limit may come at once
FOUND_S = 0.5  # the part of the burst that is free again after a claim that found jobs: each may cause a few empty ones
MAX_WAIT_S = 1.0  # of one process, if many wait
CHECK_INTERVAL_S = 0.01  # at which a waiting process checks whether another one has found jobs
_WORD = 8


class EmptyClaimLimiter:
    """Delays the claims for doorbells of a queue while too many of them find no job.

    The processes take turns at the limit. A queue has one word: the time at which all claims so far will have been made
    at the limit (the generic cell rate algorithm). Processes write it without a lock. At worst two of them take the
    same turn.
    """

    def __init__(
        self,
        queues: Sequence[str],
        per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Create the memory; call before the fork. `per_second`: the limit for each queue. `clock`: monotonic."""
        self._interval_s = 1 / per_second
        self._clock = clock
        self._sleep = sleep
        self._words = memoryview(mmap.mmap(-1, max(1, len(queues)) * _WORD)).cast("d")
        self._index = {queue: index for index, queue in enumerate(queues)}

    def wait(self, queue: str, is_draining: Callable[[], bool]) -> bool:
        """Wait until a doorbell of the queue may cause a claim. Returns True if that took a wait.

        Ends early when a claim has found jobs, or when the worker drains.
        """
        words, index, now = self._words, self._index[queue], self._clock()
        turn = min(max(now, words[index]) + self._interval_s, now + BURST_S + MAX_WAIT_S)
        words[index] = turn
        until = turn - BURST_S
        if now >= until:
            return False
        while words[index] >= turn and now < until and not is_draining():
            self._sleep(min(CHECK_INTERVAL_S, until - now))
            now = self._clock()
        return True

    def found_jobs(self, queue: str) -> None:
        """End the waits for a queue, because a claim has found jobs."""
        index, latest = self._index[queue], self._clock() + BURST_S - FOUND_S
        self._words[index] = min(self._words[index], latest)
