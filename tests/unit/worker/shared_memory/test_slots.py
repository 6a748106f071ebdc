"""Slots: the state of worker processes as their parent reads it from shared memory."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from common.domain.job import ClaimedJob
from worker.shared_memory.published_marks import MarksByQueue
from worker.shared_memory.slots import RunningAttempt, Slots, slot_size

ROOM = 5
#: Python 3.12 and later warn of a fork beside other threads; the children here need no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
MARKS = {"default": {"5": "2026-01-01 00:00:00.5+00"}}


def jobs(count: int, timeout_ms: int | None = 300_000) -> list[ClaimedJob]:
    return [
        ClaimedJob(f"01900000-0000-7000-8000-{number:012}", number + 1, 0, 3, "noop", "{}", timeout_ms)
        for number in range(count)
    ]


class Child:
    """A process that takes one action at each byte from its parent."""

    def __init__(self, *actions: Callable[[], None]) -> None:
        self._to_child, self._from_child = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for action in actions:
                    os.read(self._to_child[0], 1)
                    action()
                    os.write(self._from_child[1], b".")
            finally:
                os._exit(0)
        os.close(self._from_child[1])

    def send(self) -> None:
        os.write(self._to_child[1], b".")

    def next(self) -> None:
        self.send()
        assert os.read(self._from_child[0], 1) == b".", "the action has failed in the child"

    def end(self) -> None:
        os.waitpid(self.pid, 0)
        for end in (*self._to_child, self._from_child[0]):
            os.close(end)


def test_the_parent_sees_each_change_of_its_process() -> None:
    slots = Slots(1, ROOM)
    slot, batch = slots.all[0], jobs(3)
    child = Child(
        slot.take,
        lambda: slot.register(42),
        lambda: slot.set_batch(batch),
        lambda: slot.start_job(0),
        lambda: slot.start_job(2),
        slot.set_idle,
        slot.free,
    )
    assert (slot.pid, slot.worker, slot.running) == (0, 0, None)
    child.next()  # takes the slot
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs) == (child.pid, 0, None, 0)
    child.next()  # registers
    assert slot.worker == 42
    child.next()  # stores a batch
    assert slot.running is None
    child.next()  # starts the first job
    assert slot.running == RunningAttempt(1, 0, batch[0].id, 1, 300_000)
    assert slot.held_jobs == 3
    child.next()  # starts the last job
    assert slot.running == RunningAttempt(1, 2, batch[2].id, 3, 300_000)
    assert slot.held_jobs == 1
    child.next()  # is idle
    assert (slot.running, slot.held_jobs) == (None, 0)
    child.next()  # frees the slot
    assert (slot.pid, slot.worker) == (0, 0)
    child.end()


def test_the_attempt_of_a_crashed_process_stays_in_its_slot() -> None:
    slots = Slots(1, ROOM)
    slot, batch = slots.all[0], jobs(2, timeout_ms=None)

    def run() -> None:
        slot.take()
        slot.register(7)
        slot.set_batch(batch)
        slot.start_job(1)

    child = Child(run)
    child.next()
    child.end()
    assert (slot.pid, slot.worker) == (child.pid, 7)
    assert slot.running == RunningAttempt(1, 1, batch[1].id, 2, 0)


def test_a_process_sees_that_its_parent_drains_and_that_its_lease_was_lost() -> None:
    slots = Slots(1, ROOM)
    slot = slots.all[0]

    def check() -> None:
        assert slots.draining
        assert slot.worker == 0

    child = Child(lambda: slot.register(9), check)
    child.next()
    assert not slots.draining
    slots.drain()
    slot.register(0)
    child.next()
    child.end()


def test_each_batch_has_another_number_so_that_attempts_are_told_apart() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    attempts = []
    for _ in range(3):
        slot.set_batch(jobs(1))
        slot.start_job(0)
        attempts.append(slot.running)
        slot.set_idle()
    assert len({attempt.batch for attempt in attempts if attempt}) == 3


def test_a_new_batch_does_not_run_before_its_first_job_starts() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    slot.set_batch(jobs(3))
    slot.start_job(2)
    slot.set_batch(jobs(3))
    assert slot.running is None
    assert slot.held_jobs == 0


def test_a_full_batch_fits_and_changes_no_other_slot() -> None:
    slots = Slots(2, ROOM)
    assert len(slots.all) == 8
    for slot in slots.all:
        slot.take()
        slot.publish_low_water_marks(MARKS)
    slots.all[3].set_batch(jobs(ROOM))
    for position, job in enumerate(jobs(ROOM)):
        slots.all[3].start_job(position)
        assert slots.all[3].running == RunningAttempt(1, position, job.id, job.attempt, 300_000)
        assert slots.all[3].held_jobs == ROOM - position
    for number, slot in enumerate(slots.all):
        assert slot.low_water_marks == MARKS
        assert number == 3 or slot.running is None


def test_a_batch_larger_than_the_room_is_refused() -> None:
    slot = Slots(1, ROOM).all[0]
    with pytest.raises(ValueError, match="different"):
        slot.set_batch(jobs(ROOM + 1))


@pytest.mark.parametrize("room", range(1, 12))
def test_every_slot_begins_at_a_word(room: int) -> None:
    assert slot_size(room) % 8 == 0


def test_a_slot_that_is_taken_again_shows_no_state_of_the_previous_process() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    slot.register(1)
    slot.publish_low_water_marks(MARKS)
    slot.set_batch(jobs(2))
    slot.start_job(1)
    assert slot.low_water_marks == MARKS
    slot.free()
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs, slot.low_water_marks) == (0, 0, None, 0, {})
    slot.take()
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs, slot.low_water_marks) == (os.getpid(), 0, None, 0, {})


def test_marks_that_are_being_written_are_never_read_in_part() -> None:
    """Both versions have the same length: a mixture of them would be marks that no process ever published."""
    slot = Slots(1, ROOM).all[0]
    versions: list[MarksByQueue] = [
        {f"q{number}": {str(p): f"2026-01-01 00:00:{second}.{second}+00" for p in range(10)} for number in range(18)}
        for second in ("11", "22")
    ]

    def publish_for_ever() -> None:
        while True:
            for version in versions:
                slot.publish_low_water_marks(version)

    child = Child(publish_for_ever)
    child.send()
    try:
        seen, until = [0, 0], time.monotonic() + 10
        while min(seen) < 2_000 and time.monotonic() < until:
            marks = slot.low_water_marks
            assert marks in ({}, *versions)
            if marks:
                seen[versions.index(marks)] += 1
        assert min(seen) >= 2_000
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.end()


def test_too_many_marks_to_fit_are_dropped() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.publish_low_water_marks(MARKS)
    slot.publish_low_water_marks(
        {f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(1_000)}
    )
    assert slot.low_water_marks == MARKS


def test_marks_of_a_hundred_queues_fit() -> None:
    slot = Slots(1, ROOM).all[0]
    many = {f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(100)}
    slot.publish_low_water_marks(many)
    assert slot.low_water_marks == many


def test_a_cancel_request_is_for_the_running_attempt_alone() -> None:
    slots = Slots(2, ROOM)
    slot, other = slots.all[:2]
    for each in (slot, other):
        assert not each.is_cancel_requested, "a new slot"
        each.take()
        assert not each.is_cancel_requested
        each.set_batch(jobs(3))
        each.start_job(1)
        assert not each.is_cancel_requested
    running = slot.running
    assert running is not None
    slot.request_cancel(running)
    assert slot.is_cancel_requested
    assert not other.is_cancel_requested
    slot.start_job(2)
    assert not slot.is_cancel_requested, "the next job"
    slot.request_cancel(running)
    assert not slot.is_cancel_requested, "requested too late"
    slot.set_idle()
    assert not slot.is_cancel_requested
    slot.set_batch(jobs(3))
    slot.start_job(1)
    assert not slot.is_cancel_requested, "the same position of the next batch"


def test_a_cancel_request_does_not_reach_the_next_process_in_the_slot() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    slot.set_batch(jobs(1))
    slot.start_job(0)
    assert slot.running is not None
    slot.request_cancel(slot.running)
    assert slot.is_cancel_requested
    slot.free()
    slot.take()
    assert not slot.is_cancel_requested
    slot.set_batch(jobs(1))
    slot.start_job(0)
    assert not slot.is_cancel_requested
