"""Exemplars of a worker's histograms: the newest trace of each bucket, in memory shared by parent and processes.

A process may write a record while the parent reads it, without a lock. A record contains its own checksum. The reader
skips a record with a wrong checksum, as it is being written.
"""

import mmap
import struct
import time
from collections.abc import Callable, Sequence

from prometheus_client.samples import Exemplar

_RECORD = struct.Struct("=QQddQ")  # a trace id in two halves, the value, Unix time, the checksum
_HALF = (1 << 64) - 1


def _checksum(*record: float) -> int:
    return hash(record) & _HALF  # not 0 for memory that was never written to


class ExemplarSlot:
    """The exemplars of one slot: a record for each word of its metrics."""

    def __init__(self, memory: "memoryview", clock: Callable[[], float]) -> None:
        self._memory = memory
        self._clock = clock

    def write(self, offset: int, value: float, trace_id: int) -> None:
        """Store the trace of a value; `offset`: the word of its bucket."""
        high, low, now_s = trace_id >> 64, trace_id & _HALF, self._clock()
        _RECORD.pack_into(
            self._memory, offset * _RECORD.size, high, low, value, now_s, _checksum(high, low, value, now_s)
        )

    def read(self, offset: int) -> Exemplar | None:
        """Return the exemplar of a bucket; None if there is none or it is being written."""
        high, low, value, at_s, checksum = _RECORD.unpack_from(self._memory, offset * _RECORD.size)
        return (
            Exemplar({"trace_id": f"{high:016x}{low:016x}"}, value, at_s)
            if checksum == _checksum(high, low, value, at_s)
            else None
        )


class Exemplars:
    """The exemplars of all slots of a worker. Created by the parent before it forks."""

    def __init__(self, slots: int, words: int, clock: Callable[[], float] = time.time) -> None:
        """`slots`: their number. `words`: words of metrics in each. `clock`: Unix seconds."""
        room = max(1, words) * _RECORD.size
        memory = memoryview(mmap.mmap(-1, slots * room))
        self.by_slot = [ExemplarSlot(memory[n * room : (n + 1) * room], clock) for n in range(slots)]

    def newest(self, offset: int, buckets: int) -> Sequence[Exemplar | None]:
        """Return the newest exemplar of each of `buckets` buckets, starting at a word."""
        newest = []
        for bucket in range(offset, offset + buckets):
            exemplars = [exemplar for slot in self.by_slot if (exemplar := slot.read(bucket))]
            newest.append(max(exemplars, key=lambda exemplar: exemplar.timestamp or 0.0, default=None))
        return newest
