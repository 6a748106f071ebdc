"""Shared memory between a worker's parent and its processes: a slot for each process, with the attempts that it runs.

A process writes its own slot and the parent reads it, without a lock, so user code can neither hold one nor be blocked
by one. A batch is written once, before the position points into it. The position is one aligned word, so the parent
never reads half of it.
"""

import mmap
import os
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from common.domain.job import ClaimedJob
from worker.shared_memory.claim_retries import ClaimRetries
from worker.shared_memory.empty_claim_limiter import EmptyClaimLimiter
from worker.shared_memory.metrics import Layout, SlotMetrics, WorkerMetrics
from worker.shared_memory.published_marks import SIZE_BYTES, LineMarksByQueue, MarksByQueue, PublishedMarks

# Words of a slot's header. _POSITION: of the running job in the batch, or IDLE. _CANCEL: the attempt to cancel, as
# `_attempt_word`.
# _IS_ASYNC: 1 if the slot is an event loop's; then _HEARTBEATS grows while the loop runs, and _SUSPECT is the reason
# and the position of the job to kill the process for.
(
    _PID,
    _WORKER,
    _BATCH,
    _COUNT,
    _POSITION,
    _LAST_CLAIM,
    _POLL_REQUESTS,
    _CANCEL,
    _IS_ASYNC,
    _HEARTBEATS,
    _SUSPECT,
    _HEADER,  # the number of the words
) = range(12)
_WORD = 8
_ID = 36  # a UUID as text
IDLE = -1
LINE_MARKS_FOR_S = 10.0  # after its last claim the marks of lines of a process are no longer published


class KillReason(IntEnum):
    """Why an async job is reported to the parent. For all but BLOCKS_LOOP it kills the process at once."""

    BLOCKS_LOOP = 0  #: the event loop is blocked in its code: a suspicion
    TIMEOUT = 1  #: it did not end at its timeout
    IGNORES_CANCEL = 2  #: it did not stop when it was asked to
    IGNORES_EXIT = 3  #: it did not stop after a SystemExit or KeyboardInterrupt of one of its tasks


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """An attempt that a process was running when the parent read its slot."""

    batch: int  #: grows with each batch; identifies the attempt together with `position`
    position: int  #: in the batch
    job_id: str
    attempt: int
    timeout_ms: int  #: 0: no timeout


class Slot:
    """The slot of one process. A process with an event loop takes a second one for its async jobs."""

    def __init__(self, memory: mmap.mmap, start: int, room: int, metrics: SlotMetrics) -> None:
        """`start`: the slot's first byte. `room`: jobs that fit a batch."""
        self.metrics = metrics
        words = memoryview(memory)[start : start + slot_size(room)]
        self._head = words[: _HEADER * _WORD].cast("q")
        attempts = _HEADER * _WORD
        timeouts = attempts + room * _WORD
        ids = timeouts + room * _WORD
        marks = -(-(ids + room * _ID) // _WORD) * _WORD
        self._attempts = words[attempts:timeouts].cast("q")
        self._timeouts = words[timeouts:ids].cast("q")
        self._ids = words[ids : ids + room * _ID]
        self._marks = PublishedMarks(words[marks : marks + SIZE_BYTES])

    @property
    def pid(self) -> int:
        """The process that has taken the slot; 0: none."""
        return self._head[_PID]

    @property
    def worker(self) -> int:
        """The id of the process in the table of workers; 0: it has none."""
        return self._head[_WORKER]

    def register(self, worker: int) -> None:
        """Set the id under which the process holds jobs from now on; 0: its lease is lost."""
        self._head[_WORKER] = worker

    def set_batch(self, jobs: Sequence[ClaimedJob]) -> None:
        """Store a batch, none of whose jobs runs yet. Raises ValueError if it does not fit."""
        head, count = self._head, len(jobs)
        head[_POSITION] = IDLE
        self._attempts[:count] = array("q", [job.attempt for job in jobs])
        self._timeouts[:count] = array(
            "q", [(job.timeout_ms if job.extras is None else job.effective_timeout_ms) or 0 for job in jobs]
        )
        self._ids[: count * _ID] = "".join([job.id for job in jobs]).encode()
        head[_COUNT] = count
        head[_BATCH] += 1

    def start_job(self, position: int) -> None:
        """Publish that the job at this position of the batch starts now."""
        self._head[_POSITION] = position

    def set_idle(self) -> None:
        """Publish that no job runs."""
        self._head[_POSITION] = IDLE

    def set_running(self, jobs: Sequence[ClaimedJob]) -> None:
        """Publish all async jobs that run now, and clear the suspect."""
        self.set_batch(jobs)
        self._head[_SUSPECT] = 0
        if jobs:
            self._head[_POSITION] = 0

    @property
    def running(self) -> RunningAttempt | None:
        """The attempt that runs now, of async ones the first; None: none."""
        position = self._head[_POSITION]
        return None if position == IDLE or not self.pid else self._running_at(position)

    @property
    def all_running(self) -> list[RunningAttempt]:
        """All attempts that run now; at most one unless they are async."""
        first = self._head[_POSITION]
        return (
            []
            if first == IDLE
            else [
                self._running_at(position)
                for position in range(first, self._head[_COUNT] if self.is_async else first + 1)
            ]
        )

    def _running_at(self, position: int) -> RunningAttempt:
        job_id = bytes(self._ids[position * _ID : (position + 1) * _ID]).decode()
        return RunningAttempt(self._head[_BATCH], position, job_id, self._attempts[position], self._timeouts[position])

    @property
    def is_async(self) -> bool:
        """True if its jobs run concurrently, in the event loop of its process."""
        return bool(self._head[_IS_ASYNC])

    def heartbeat(self) -> None:
        """Count a heartbeat. Only the event loop calls it."""
        self._head[_HEARTBEATS] += 1

    @property
    def heartbeats(self) -> int:
        """The number of heartbeats of the event loop."""
        return self._head[_HEARTBEATS]

    def set_suspect(self, position: int, reason: KillReason) -> None:
        """Report the async job for which the parent may kill this process; `position` IDLE: none."""
        self._head[_SUSPECT] = reason << 32 | position + 1

    @property
    def suspect(self) -> RunningAttempt | None:
        """The attempt for which the parent may kill the process; None: none is known."""
        position = (self._head[_SUSPECT] & 0xFFFFFFFF) - 1
        return None if position == IDLE or self._head[_POSITION] == IDLE else self._running_at(position)

    @property
    def kill_reason(self) -> KillReason:
        """The reason for which the suspect was reported."""
        return KillReason(self._head[_SUSPECT] >> 32)

    def mark_claim(self) -> None:
        """Record that this process claims now, or could: its start hooks have ended."""
        self._head[_LAST_CLAIM] = time.monotonic_ns()

    @property
    def last_claim_s(self) -> float:
        """The time of the last claim, in seconds of the monotonic clock; 0 until the process may claim."""
        return self._head[_LAST_CLAIM] / 1e9

    @property
    def poll_requests(self) -> int:
        """The number of times that the parent has asked the slot's process to poll."""
        return self._head[_POLL_REQUESTS]

    def request_poll(self) -> None:
        """Ask the process to claim when it next waits for a doorbell, as if one had rung. Only the parent calls it."""
        self._head[_POLL_REQUESTS] += 1

    def request_cancel(self, running: RunningAttempt) -> None:
        """Ask the process to stop an attempt. No effect if it runs another one by now. Only the parent calls it."""
        self._head[_CANCEL] = _attempt_word(running.batch, running.position)

    @property
    def is_cancel_requested(self) -> bool:
        """True if the attempt that runs now is to stop."""
        head = self._head
        return head[_CANCEL] == _attempt_word(head[_BATCH], head[_POSITION])

    @property
    def held_jobs(self) -> int:
        """The number of held jobs that have not run to their end."""
        position = self._head[_POSITION]
        return 0 if position == IDLE else max(0, self._head[_COUNT] - position)

    def publish_low_water_marks(self, marks: MarksByQueue, line_marks: LineMarksByQueue | None = None) -> None:
        """Publish the low-water marks to the parent: the lowest of each queue, and those of single lines."""
        self._marks.write(marks, line_marks or {})

    @property
    def low_water_marks(self) -> MarksByQueue:
        """The marks of the queues last published."""
        return self._marks.read()[0]

    @property
    def line_marks(self) -> LineMarksByQueue:
        """The marks of lines last published. None of a process that has not claimed for a time.

        While a process lists a line it is trusted to find what is above the line's mark.
        """
        return self._marks.read()[1] if time.monotonic() - self.last_claim_s < LINE_MARKS_FOR_S else {}

    def free(self) -> None:
        """Free the slot."""
        self._clear()
        self._head[_PID] = 0

    def take(self, *, is_async: bool = False) -> None:
        """Take the slot for this process; `is_async`: for the jobs of its event loop."""
        self._clear()
        self._head[_IS_ASYNC] = is_async
        self._head[_PID] = os.getpid()

    def _clear(self) -> None:
        for word in (_WORKER, _IS_ASYNC, _SUSPECT, _LAST_CLAIM):
            self._head[word] = 0
        self._head[_POSITION] = IDLE
        self._marks.clear()


class Slots:
    """The slots of one worker. Created by the parent before it forks."""

    def __init__(
        self,
        processes: int,
        room: int,
        layout: Layout | None = None,
        *,
        traced: bool = False,
        with_async: bool = False,
        empty_claims_per_second: float = 20,
    ) -> None:
        """Create slots for `processes` processes with up to `room` jobs in a batch.

        `layout`: of their metrics, None: of none by name. `traced`: histograms have exemplars. `with_async`: a process
        may take a second slot, for its event loop. `empty_claims_per_second`: of a queue.
        """
        self.processes = processes  #: of the pool
        count = processes * (8 if with_async else 4)  # a replacement may start before its predecessor's slot is free
        self._memory = mmap.mmap(-1, _WORD + count * slot_size(room))
        self._flags = memoryview(self._memory)[:_WORD].cast("q")
        self.metrics = WorkerMetrics(layout or Layout((), ()), count, traced=traced)
        queues = tuple(layout.claims) if layout else ()
        self.limiter = EmptyClaimLimiter(queues, empty_claims_per_second)
        self.retries = ClaimRetries(queues)
        self.all = [
            Slot(self._memory, _WORD + n * slot_size(room), room, slot_metrics)
            for n, slot_metrics in enumerate(self.metrics.by_slot)
        ]

    @property
    def process_slots(self) -> list[Slot]:
        """The taken slots without those of event loops: one for each process."""
        return [slot for slot in self.all if slot.pid and not slot.is_async]

    @property
    def draining(self) -> bool:
        """True if the worker claims no more jobs."""
        return bool(self._flags[0])

    def drain(self) -> None:
        """Claim no more jobs. There is no way back."""
        self._flags[0] = 1


def _attempt_word(batch: int, position: int) -> int:
    # A batch has at most a thousand jobs. Memory without a request (0), and IDLE, match no attempt.
    return (batch + 1) << 16 | position + 1


def slot_size(room: int) -> int:
    """Return the bytes of a slot, a multiple of a word."""
    return -(-(_HEADER * _WORD + room * (_WORD + _WORD + _ID)) // _WORD) * _WORD + SIZE_BYTES
