"""A ring of log lines in memory that a worker process shares with its parent: the process writes, the parent reads.

What a process has said outlives it, however it ends. It neither waits for the parent nor for the database: lines that
find the ring full are dropped.
"""

import mmap
import struct
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

_WRITTEN, _READ = 0, 1  # words of the head: bytes that were ever written, and ever read
_HEAD_BYTES = 16
_ENTRY = struct.Struct("=I16sHHIQ")  # bytes of the text; job id, run, attempt; the line's number, bytes with all before
NUMBER_BYTES = 18  # that its number adds to a stored line: `"line":1234567,` and the comma between two lines
MAX_LOCK_WAIT_S = 0.05  # another thread writes for microseconds; a signal handler would wait for its own thread


class AttemptLines:
    """The identity of an attempt, and the number and bytes of its lines so far."""

    __slots__ = ("attempt", "bytes", "count", "job_id", "run")

    def __init__(self, job_id: str, run: int, attempt: int) -> None:
        self.job_id = uuid.UUID(job_id).bytes
        self.run = run
        self.attempt = attempt
        self.count = 0
        self.bytes = 0


@dataclass(frozen=True, slots=True)
class RingEntry:
    """A line as it is in the ring."""

    job_id: str
    run: int
    attempt: int
    number: int  #: of the line in its attempt, from 1
    total_bytes: int  #: of the attempt's lines up to this one
    text: bytes  #: a JSON object


class LineRing:
    """The lines of one worker process that its parent has not stored yet. Created by the parent before it forks."""

    def __init__(self, size: int) -> None:
        """`size`: of all lines together, in bytes."""
        memory = memoryview(mmap.mmap(-1, _HEAD_BYTES + size))
        self._head = memory[:_HEAD_BYTES].cast("q")
        self._data = memory[_HEAD_BYTES:]
        self._size = size
        self._lock = threading.Lock()  # of the threads of the process that writes

    # --- in the worker process

    def write(self, lines: AttemptLines, text: bytes) -> bool:
        """Add a line to an attempt. Return False if there is no room for it."""
        if not self._lock.acquire(timeout=MAX_LOCK_WAIT_S):
            return False
        try:
            head, length = self._head, len(text)
            start = head[_WRITTEN]
            if start + _ENTRY.size + length > head[_READ] + self._size:
                return False
            lines.count += 1
            lines.bytes += length + NUMBER_BYTES
            entry = _ENTRY.pack(length, lines.job_id, lines.run, lines.attempt, lines.count, lines.bytes)
            self._copy(start, entry + text)
            head[_WRITTEN] = start + _ENTRY.size + length  # last: the parent never sees half a line
        finally:
            self._lock.release()
        return True

    def _copy(self, start: int, entry: bytes) -> None:
        at = start % self._size
        first = min(len(entry), self._size - at)
        self._data[at : at + first] = entry[:first]
        self._data[: len(entry) - first] = entry[first:]

    # --- in the parent

    @property
    def is_empty(self) -> bool:
        """True if every line was read."""
        return bool(self._head[_WRITTEN] == self._head[_READ])

    def read(self) -> tuple[int, list[RingEntry]]:
        """Return all lines, and the position to free them at."""
        start, end = self._head[_READ], self._head[_WRITTEN]
        at = start % self._size
        data = bytes(self._data[at : at + end - start])
        data += bytes(self._data[: end - start - len(data)])
        return end, list(_entries(data))

    def free(self, position: int) -> None:
        """Free the room of the lines before a position that `read` has returned."""
        self._head[_READ] = position


def _entries(data: bytes) -> Iterator[RingEntry]:
    at = 0
    while at < len(data):
        length, job_id, run, attempt, number, total_bytes = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        yield RingEntry(str(uuid.UUID(bytes=job_id)), run, attempt, number, total_bytes, data[at : at + length])
        at += length
