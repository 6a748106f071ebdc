"""Exemplars of a worker's histograms: the trace of what each bucket counted last, in memory that the parent shares with its processes.

One process writes a record while the parent may be reading it, and nothing is locked: a record carries a sum of itself, and one whose
sum is wrong is being written, so it is left out.
"""

import mmap
import struct
import time
from collections.abc import Callable, Sequence

from prometheus_client.samples import Exemplar

_RECORD = struct.Struct("=QQddQ")  # a trace's id in two halves, the value, Unix time, the sum
_HALF = (1 << 64) - 1


def _sum(*record: float) -> int:
    return hash(record) & _HALF  # of memory that nobody wrote to it is not 0


class ExemplarSlot:
    """The records of one seat, one for each of its words."""

    def __init__(self, memory: "memoryview", clock: Callable[[], float]) -> None:
        self._memory = memory
        self._clock = clock

    def write(self, at: int, value: float, trace_id: int) -> None:
        """Remember which trace a value was of; `at`: the word of its bucket."""
        high, low, now_s = trace_id >> 64, trace_id & _HALF, self._clock()
        _RECORD.pack_into(self._memory, at * _RECORD.size, high, low, value, now_s, _sum(high, low, value, now_s))

    def read(self, at: int) -> Exemplar | None:
        """Return the exemplar of a bucket, None where there is none or it is being written."""
        high, low, value, at_s, check = _RECORD.unpack_from(self._memory, at * _RECORD.size)
        return Exemplar({"trace_id": f"{high:016x}{low:016x}"}, value, at_s) if check == _sum(high, low, value, at_s) else None


class Exemplars:
    """All places of one worker. Made by the parent before it forks."""

    def __init__(self, slots: int, words: int, clock: Callable[[], float] = time.time) -> None:
        room = max(1, words) * _RECORD.size
        memory = memoryview(mmap.mmap(-1, slots * room))
        self.by_slot = [ExemplarSlot(memory[n * room : (n + 1) * room], clock) for n in range(slots)]

    def newest(self, at: int, buckets: int) -> Sequence[Exemplar | None]:
        """Return the newest exemplar of each of so many buckets, from the word of the first on."""
        found = []
        for bucket in range(at, at + buckets):
            kept = [one for place in self.by_slot if (one := place.read(bucket))]
            found.append(max(kept, key=lambda one: one.timestamp or 0.0, default=None))
        return found
