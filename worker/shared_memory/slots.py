"""Shared memory between a worker's parent and its processes: who sits where, what it runs.

A process writes its own seat and the parent reads it; no lock, so user code can neither hold one nor be held by one. A batch
is written once, before `at` points into it; `at` is one aligned word, so the parent never reads half of it.
"""

import json
import mmap
import os
import time
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from common.domain.job import ClaimedJob
from worker.shared_memory.metrics import Layout, SlotMetrics, WorkerMetrics

_PID, _WORKER, _BATCH, _COUNT, _AT, _LOW, _TURN, _LOOKED, _SENT, _STOP, _KIND, _PULSE, _BLAMED, _HEADER = range(14)  # words of a seat's header
_WORD = 8
# _KIND: whether its jobs run together; then _PULSE grows while their event loop goes on, and _BLAMED is whom to end the process for.
# _LOW: length of the marks' JSON; _TURN: odd while they are being written. _STOP: the run that is to stop, in one word as `_run` makes it.
_ID = 36  # a UUID as text
_MARKS_BYTES = 65_536  # marks of about 150 queues with ten priorities each; untouched pages cost nothing
IDLE = -1
MarksByQueue = Mapping[str, Mapping[str, str]]


class KillReason(IntEnum):
    """For what one of the jobs that run together is blamed; for all but the first its process is to be ended now."""

    BLOCKS_LOOP = 0  #: the event loop stands still in its code
    TIMEOUT = 1  #: it did not end at its limit
    IGNORES_CANCEL = 2  #: it did not stop when it was asked to


@dataclass(frozen=True, slots=True)
class Running:
    """What a process was running when the parent looked."""

    batch: int  #: grows with each batch: with `at` it names the run
    at: int
    job_id: str
    attempt: int
    timeout_ms: int  #: 0: no limit


class Slot:
    """One process's place. A process with an event loop has another one, for the jobs that run in it together."""

    def __init__(self, memory: mmap.mmap, start: int, room: int, meter: SlotMetrics) -> None:
        self.metrics = meter
        words = memoryview(memory)[start : start + slot_size(room)]
        self._head = words[: _HEADER * _WORD].cast("q")
        attempts = _HEADER * _WORD
        timeouts = attempts + room * _WORD
        ids = timeouts + room * _WORD
        low = ids + room * _ID
        self._attempts = words[attempts:timeouts].cast("q")
        self._timeouts = words[timeouts:ids].cast("q")
        self._ids = words[ids:low]
        self._low = words[low : low + _MARKS_BYTES]
        self._last_marks: MarksByQueue = {}

    @property
    def pid(self) -> int:
        """The process that sits here, 0 for none."""
        return self._head[_PID]

    @property
    def worker(self) -> int:
        """Its id in the table of workers, 0 before it has one."""
        return self._head[_WORKER]

    def register(self, worker: int) -> None:
        """Say under which id this process holds jobs from now on."""
        self._head[_WORKER] = worker

    def set_batch(self, jobs: Sequence[ClaimedJob]) -> None:
        """Write down a batch; nothing of it runs yet."""
        head, count = self._head, len(jobs)
        head[_AT] = IDLE
        self._attempts[:count] = array("q", [job.attempt for job in jobs])
        self._timeouts[:count] = array("q", [(job.timeout_ms if job.extras is None else job.effective_timeout_ms) or 0 for job in jobs])
        self._ids[: count * _ID] = "".join([job.id for job in jobs]).encode()
        head[_COUNT] = count
        head[_BATCH] += 1

    def start_job(self, at: int) -> None:
        """Say that the job at this place of the batch begins now."""
        self._head[_AT] = at

    def set_idle(self) -> None:
        """Say that nothing runs."""
        self._head[_AT] = IDLE

    def set_running(self, jobs: Sequence[ClaimedJob]) -> None:
        """Write down what runs now, all of it; whoever was blamed is not any more."""
        self.set_batch(jobs)
        self._head[_BLAMED] = 0
        if jobs:
            self._head[_AT] = 0

    @property
    def running(self) -> Running | None:
        """What runs now, the first of what runs together; None when nothing does."""
        at = self._head[_AT]
        return None if at == IDLE or not self.pid else self._running_at(at)

    @property
    def all_running(self) -> list[Running]:
        """All that runs now: at most one where jobs do not run together."""
        at = self._head[_AT]
        return [] if at == IDLE else [self._running_at(one) for one in range(at, self._head[_COUNT] if self.is_async else at + 1)]

    def _running_at(self, at: int) -> Running:
        job_id = bytes(self._ids[at * _ID : (at + 1) * _ID]).decode()
        return Running(self._head[_BATCH], at, job_id, self._attempts[at], self._timeouts[at])

    @property
    def is_async(self) -> bool:
        """Whether its jobs run together, in the event loop of its process."""
        return bool(self._head[_KIND])

    def heartbeat(self) -> None:
        """Say that the event loop goes on. Of the loop alone."""
        self._head[_PULSE] += 1

    @property
    def heartbeats(self) -> int:
        """How often it has gone on."""
        return self._head[_PULSE]

    def set_suspect(self, at: int, reason: KillReason) -> None:
        """Say whom of what runs together this process would be ended for; `at` IDLE: nobody."""
        self._head[_BLAMED] = reason << 32 | at + 1

    @property
    def suspect(self) -> Running | None:
        """Whom its process would be ended for, None while nobody knows."""
        at = (self._head[_BLAMED] & 0xFFFFFFFF) - 1
        return None if at == IDLE or self._head[_AT] == IDLE else self._running_at(at)

    @property
    def kill_reason(self) -> KillReason:
        """What for."""
        return KillReason(self._head[_BLAMED] >> 32)

    def mark_claim(self) -> None:
        """Say that this process looks for work now."""
        self._head[_LOOKED] = time.monotonic_ns()

    @property
    def last_claim_s(self) -> float:
        """When it last looked, in seconds of the monotonic clock."""
        return self._head[_LOOKED] / 1e9

    @property
    def poll_requests(self) -> int:
        """How often the process that sits here has been sent to look."""
        return self._head[_SENT]

    def request_poll(self) -> None:
        """Let the process look for work, as if its doorbell had rung, when it next waits for one. Of the parent alone."""
        self._head[_SENT] += 1

    def request_cancel(self, running: Running) -> None:
        """Tell the process to stop what it runs; nothing, if it has gone on meanwhile. Of the parent alone."""
        self._head[_STOP] = _attempt_word(running.batch, running.at)

    @property
    def is_cancel_requested(self) -> bool:
        """Whether what runs now is to stop."""
        head = self._head
        return head[_STOP] == _attempt_word(head[_BATCH], head[_AT])

    @property
    def held_jobs(self) -> int:
        """Jobs in its hands that have not run to their end."""
        at = self._head[_AT]
        return 0 if at == IDLE else max(0, self._head[_COUNT] - at)

    def publish_low_water_marks(self, marks: MarksByQueue) -> None:
        """Hand the low-water marks to the parent; too many to fit are left out, which only delays the search for strays."""
        text = json.dumps(marks).encode()
        if len(text) <= _MARKS_BYTES:
            self._head[_TURN] += 1
            self._low[: len(text)] = text
            self._head[_LOW] = len(text)
            self._head[_TURN] += 1

    @property
    def low_water_marks(self) -> MarksByQueue:
        """The marks last handed over; the ones before while new ones are being written."""
        turn = self._head[_TURN]
        text = bytes(self._low[: self._head[_LOW]])
        if turn % 2 == 0 and self._head[_TURN] == turn:
            self._last_marks = json.loads(text or b"{}")
        return self._last_marks

    def free(self) -> None:
        """Free the seat."""
        self._clear()
        self._head[_PID] = 0

    def take(self, *, is_async: bool = False) -> None:
        """Take the seat for this process; `together`: for what runs in its event loop."""
        self._clear()
        self._head[_KIND] = is_async
        self.mark_claim()
        self._head[_PID] = os.getpid()

    def _clear(self) -> None:
        for word in (_WORKER, _LOW, _TURN, _KIND, _BLAMED):
            self._head[word] = 0
        self._head[_AT] = IDLE
        self._last_marks = {}


class Slots:
    """The seats of one worker. Made by the parent before it forks."""

    def __init__(self, processes: int, room: int, layout: Layout | None = None, *, traced: bool = False, with_async: bool = False) -> None:
        """Make seats for so many processes with up to `room` jobs in a batch; `layout`: what they count, None: nothing by name.

        `traced`: what they count has exemplars. `together`: processes may take a second one.
        """
        count = processes * (8 if with_async else 4)  # a replacement may come before the parent has cleared up after the one that died
        self._memory = mmap.mmap(-1, _WORD + count * slot_size(room))
        self._flags = memoryview(self._memory)[:_WORD].cast("q")
        self.metrics = WorkerMetrics(layout or Layout((), ()), count, traced=traced)
        self.all = [Slot(self._memory, _WORD + n * slot_size(room), room, meter) for n, meter in enumerate(self.metrics.by_slot)]

    @property
    def process_slots(self) -> list[Slot]:
        """The taken seats, one for each process."""
        return [slot for slot in self.all if slot.pid and not slot.is_async]

    @property
    def draining(self) -> bool:
        """Whether the worker takes no more jobs."""
        return bool(self._flags[0])

    def drain(self) -> None:
        """Take no more jobs; for good."""
        self._flags[0] = 1


def _attempt_word(batch: int, at: int) -> int:
    return (batch + 1) << 16 | at + 1  # a batch has at most a thousand jobs; what nobody was told, and IDLE, is that of no run


def slot_size(room: int) -> int:
    """Return the bytes of a seat, a multiple of a word."""
    size = _HEADER * _WORD + room * (_WORD + _WORD + _ID) + _MARKS_BYTES
    return -(-size // _WORD) * _WORD
