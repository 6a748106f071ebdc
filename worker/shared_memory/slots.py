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

from common.domain.job import Claimed
from worker.shared_memory.metrics import Layout, Meter, Meters

_PID, _WORKER, _BATCH, _COUNT, _AT, _LOW, _TURN, _LOOKED, _SENT, _STOP, _KIND, _PULSE, _BLAMED, _HEADER = range(14)  # words of a seat's header
_WORD = 8
# _KIND: whether its jobs run together; then _PULSE grows while their event loop goes on, and _BLAMED is whom to end the process for.
# _LOW: length of the marks' JSON; _TURN: odd while they are being written. _STOP: the run that is to stop, in one word as `_run` makes it.
_ID = 36  # a UUID as text
_LOW_ROOM = 65_536  # marks of about 150 queues with ten priorities each; untouched pages cost nothing
IDLE = -1
Low = Mapping[str, Mapping[str, str]]


class Blame(IntEnum):
    """For what one of the jobs that run together is blamed; for all but the first its process is to be ended now."""

    HOLDS_UP = 0  #: the event loop stands still in its code
    OVERRUNS = 1  #: it did not end at its limit
    GOES_ON = 2  #: it did not stop when it was asked to


@dataclass(frozen=True, slots=True)
class Running:
    """What a process was running when the parent looked."""

    batch: int  #: grows with each batch: with `at` it names the run
    at: int
    job_id: str
    attempt: int
    timeout_ms: int  #: 0: no limit


class Seat:
    """One process's place. A process with an event loop has another one, for the jobs that run in it together."""

    def __init__(self, memory: mmap.mmap, start: int, room: int, meter: Meter) -> None:
        self.meter = meter
        words = memoryview(memory)[start : start + seat_size(room)]
        self._head = words[: _HEADER * _WORD].cast("q")
        attempts = _HEADER * _WORD
        timeouts = attempts + room * _WORD
        ids = timeouts + room * _WORD
        low = ids + room * _ID
        self._attempts = words[attempts:timeouts].cast("q")
        self._timeouts = words[timeouts:ids].cast("q")
        self._ids = words[ids:low]
        self._low = words[low : low + _LOW_ROOM]
        self._last_low: Low = {}

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

    def begin(self, jobs: Sequence[Claimed]) -> None:
        """Write down a batch; nothing of it runs yet."""
        head, count = self._head, len(jobs)
        head[_AT] = IDLE
        self._attempts[:count] = array("q", [job.attempt for job in jobs])
        self._timeouts[:count] = array("q", [(job.timeout_ms if job.special is None else job.limit_ms) or 0 for job in jobs])
        self._ids[: count * _ID] = "".join([job.id for job in jobs]).encode()
        head[_COUNT] = count
        head[_BATCH] += 1

    def run(self, at: int) -> None:
        """Say that the job at this place of the batch begins now."""
        self._head[_AT] = at

    def idle(self) -> None:
        """Say that nothing runs."""
        self._head[_AT] = IDLE

    def run_together(self, jobs: Sequence[Claimed]) -> None:
        """Write down what runs now, all of it; whoever was blamed is not any more."""
        self.begin(jobs)
        self._head[_BLAMED] = 0
        if jobs:
            self._head[_AT] = 0

    @property
    def running(self) -> Running | None:
        """What runs now, the first of what runs together; None when nothing does."""
        at = self._head[_AT]
        return None if at == IDLE or not self.pid else self._running(at)

    @property
    def all_running(self) -> list[Running]:
        """All that runs now: at most one where jobs do not run together."""
        at = self._head[_AT]
        return [] if at == IDLE else [self._running(one) for one in range(at, self._head[_COUNT] if self.is_together else at + 1)]

    def _running(self, at: int) -> Running:
        job_id = bytes(self._ids[at * _ID : (at + 1) * _ID]).decode()
        return Running(self._head[_BATCH], at, job_id, self._attempts[at], self._timeouts[at])

    @property
    def is_together(self) -> bool:
        """Whether its jobs run together, in the event loop of its process."""
        return bool(self._head[_KIND])

    def pulse(self) -> None:
        """Say that the event loop goes on. Of the loop alone."""
        self._head[_PULSE] += 1

    @property
    def pulses(self) -> int:
        """How often it has gone on."""
        return self._head[_PULSE]

    def blame(self, at: int, what: Blame) -> None:
        """Say whom of what runs together this process would be ended for; `at` IDLE: nobody."""
        self._head[_BLAMED] = what << 32 | at + 1

    @property
    def blamed(self) -> Running | None:
        """Whom its process would be ended for, None while nobody knows."""
        at = (self._head[_BLAMED] & 0xFFFFFFFF) - 1
        return None if at == IDLE or self._head[_AT] == IDLE else self._running(at)

    @property
    def blamed_for(self) -> Blame:
        """What for."""
        return Blame(self._head[_BLAMED] >> 32)

    def look(self) -> None:
        """Say that this process looks for work now."""
        self._head[_LOOKED] = time.monotonic_ns()

    @property
    def looked_s(self) -> float:
        """When it last looked, in seconds of the monotonic clock."""
        return self._head[_LOOKED] / 1e9

    @property
    def sent(self) -> int:
        """How often the process that sits here has been sent to look."""
        return self._head[_SENT]

    def send_to_look(self) -> None:
        """Let the process look for work, as if its doorbell had rung, when it next waits for one. Of the parent alone."""
        self._head[_SENT] += 1

    def ask_to_stop(self, running: Running) -> None:
        """Tell the process to stop what it runs; nothing, if it has gone on meanwhile. Of the parent alone."""
        self._head[_STOP] = _run(running.batch, running.at)

    @property
    def asked_to_stop(self) -> bool:
        """Whether what runs now is to stop."""
        head = self._head
        return head[_STOP] == _run(head[_BATCH], head[_AT])

    @property
    def busy(self) -> int:
        """Jobs in its hands that have not run to their end."""
        at = self._head[_AT]
        return 0 if at == IDLE else max(0, self._head[_COUNT] - at)

    def publish_low(self, low: Low) -> None:
        """Hand the low-water marks to the parent; too many to fit are left out, which only delays the search for strays."""
        text = json.dumps(low).encode()
        if len(text) <= _LOW_ROOM:
            self._head[_TURN] += 1
            self._low[: len(text)] = text
            self._head[_LOW] = len(text)
            self._head[_TURN] += 1

    @property
    def low(self) -> Low:
        """The marks last handed over; the ones before while new ones are being written."""
        turn = self._head[_TURN]
        text = bytes(self._low[: self._head[_LOW]])
        if turn % 2 == 0 and self._head[_TURN] == turn:
            self._last_low = json.loads(text or b"{}")
        return self._last_low

    def leave(self) -> None:
        """Free the seat."""
        self._clear()
        self._head[_PID] = 0

    def sit(self, *, together: bool = False) -> None:
        """Take the seat for this process; `together`: for what runs in its event loop."""
        self._clear()
        self._head[_KIND] = together
        self.look()
        self._head[_PID] = os.getpid()

    def _clear(self) -> None:
        for word in (_WORKER, _LOW, _TURN, _KIND, _BLAMED):
            self._head[word] = 0
        self._head[_AT] = IDLE
        self._last_low = {}


class Seats:
    """The seats of one worker. Made by the parent before it forks."""

    def __init__(self, processes: int, room: int, layout: Layout | None = None, *, traced: bool = False, together: bool = False) -> None:
        """Make seats for so many processes with up to `room` jobs in a batch; `layout`: what they count, None: nothing by name.

        `traced`: what they count has exemplars. `together`: processes may take a second one.
        """
        count = processes * (8 if together else 4)  # a replacement may come before the parent has cleared up after the one that died
        self._memory = mmap.mmap(-1, _WORD + count * seat_size(room))
        self._flags = memoryview(self._memory)[:_WORD].cast("q")
        self.meters = Meters(layout or Layout((), ()), count, traced=traced)
        self.all = [Seat(self._memory, _WORD + n * seat_size(room), room, meter) for n, meter in enumerate(self.meters.of_seats)]

    @property
    def of_processes(self) -> list[Seat]:
        """The taken seats, one for each process."""
        return [seat for seat in self.all if seat.pid and not seat.is_together]

    @property
    def draining(self) -> bool:
        """Whether the worker takes no more jobs."""
        return bool(self._flags[0])

    def drain(self) -> None:
        """Take no more jobs; for good."""
        self._flags[0] = 1


def _run(batch: int, at: int) -> int:
    return (batch + 1) << 16 | at + 1  # a batch has at most a thousand jobs; what nobody was told, and IDLE, is that of no run


def seat_size(room: int) -> int:
    """Return the bytes of a seat, a multiple of a word."""
    size = _HEADER * _WORD + room * (_WORD + _WORD + _ID) + _LOW_ROOM
    return -(-size // _WORD) * _WORD
