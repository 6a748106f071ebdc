"""Seats: what a worker's parent sees of its processes through shared memory."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from common.domain.job import ClaimedJob
from worker.shared_memory.slots import IDLE, KillReason, MarksByQueue, Running, Slot, Slots, slot_size

ROOM = 5
#: From Python 3.12 on forking beside other threads warns; what the children here do needs no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
LOW = {"default": {"5": "2026-01-01 00:00:00.5+00"}}


def jobs(count: int, timeout_ms: int | None = 300_000) -> list[ClaimedJob]:
    return [ClaimedJob(f"01900000-0000-7000-8000-{number:012}", number + 1, 0, 3, "noop", "{}", timeout_ms) for number in range(count)]


class Child:
    """A process that does one thing at each word from its parent, then waits for the next."""

    def __init__(self, *deeds: Callable[[], None]) -> None:
        self._to_child, self._from_child = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for deed in deeds:
                    os.read(self._to_child[0], 1)
                    deed()
                    os.write(self._from_child[1], b".")
            finally:
                os._exit(0)
        os.close(self._from_child[1])

    def say(self) -> None:
        os.write(self._to_child[1], b".")

    def next(self) -> None:
        self.say()
        assert os.read(self._from_child[0], 1) == b".", "the child has failed"

    def end(self) -> None:
        os.waitpid(self.pid, 0)
        for end in (*self._to_child, self._from_child[0]):
            os.close(end)


def test_the_parent_sees_what_its_process_does() -> None:
    slots = Slots(1, ROOM)
    slot, batch = slots.all[0], jobs(3)
    child = Child(
        slot.take, lambda: slot.register(42), lambda: slot.set_batch(batch), lambda: slot.start_job(0), lambda: slot.start_job(2), slot.set_idle, slot.free
    )
    assert (slot.pid, slot.worker, slot.running) == (0, 0, None)
    child.next()  # sits
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs) == (child.pid, 0, None, 0)
    child.next()  # registers
    assert slot.worker == 42
    child.next()  # begins a batch
    assert slot.running is None
    child.next()  # runs the first
    assert slot.running == Running(1, 0, batch[0].id, 1, 300_000)
    assert slot.held_jobs == 3
    child.next()  # runs the last
    assert slot.running == Running(1, 2, batch[2].id, 3, 300_000)
    assert slot.held_jobs == 1
    child.next()  # idles
    assert (slot.running, slot.held_jobs) == (None, 0)
    child.next()  # leaves
    assert (slot.pid, slot.worker) == (0, 0)
    child.end()


def test_a_process_that_dies_leaves_behind_what_it_ran() -> None:
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
    assert slot.running == Running(1, 1, batch[1].id, 2, 0)


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


def test_each_batch_has_a_number_of_its_own_so_that_two_runs_are_never_taken_for_one() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    runs = []
    for _ in range(3):
        slot.set_batch(jobs(1))
        slot.start_job(0)
        runs.append(slot.running)
        slot.set_idle()
    assert len({run.batch for run in runs if run}) == 3


def test_a_new_batch_does_not_run_before_its_first_job_does() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    slot.set_batch(jobs(3))
    slot.start_job(2)
    slot.set_batch(jobs(3))
    assert slot.running is None
    assert slot.held_jobs == 0


def test_a_full_batch_fits_and_touches_no_other_seat() -> None:
    slots = Slots(2, ROOM)
    assert len(slots.all) == 8
    for slot in slots.all:
        slot.take()
        slot.publish_low_water_marks(LOW)
    slots.all[3].set_batch(jobs(ROOM))
    for at, job in enumerate(jobs(ROOM)):
        slots.all[3].start_job(at)
        assert slots.all[3].running == Running(1, at, job.id, job.attempt, 300_000)
        assert slots.all[3].held_jobs == ROOM - at
    for number, slot in enumerate(slots.all):
        assert slot.low_water_marks == LOW
        assert number == 3 or slot.running is None


def test_a_batch_larger_than_the_room_is_refused() -> None:
    slot = Slots(1, ROOM).all[0]
    with pytest.raises(ValueError, match="different"):
        slot.set_batch(jobs(ROOM + 1))


@pytest.mark.parametrize("room", range(1, 12))
def test_every_seat_begins_at_a_word(room: int) -> None:
    assert slot_size(room) % 8 == 0


def test_a_seat_taken_again_shows_nothing_of_the_one_before() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.take()
    slot.register(1)
    slot.publish_low_water_marks(LOW)
    slot.set_batch(jobs(2))
    slot.start_job(1)
    assert slot.low_water_marks == LOW
    slot.free()
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs, slot.low_water_marks) == (0, 0, None, 0, {})
    slot.take()
    assert (slot.pid, slot.worker, slot.running, slot.held_jobs, slot.low_water_marks) == (os.getpid(), 0, None, 0, {})


def test_marks_that_are_being_written_are_never_read_half() -> None:
    """Two versions of one length: a mixture of them would be marks that no process ever had."""
    slot = Slots(1, ROOM).all[0]
    versions: list[MarksByQueue] = [
        {f"q{number}": {str(p): f"2026-01-01 00:00:{second}.{second}+00" for p in range(10)} for number in range(18)} for second in ("11", "22")
    ]

    def publish_for_ever() -> None:
        while True:
            for version in versions:
                slot.publish_low_water_marks(version)

    child = Child(publish_for_ever)
    child.say()
    try:
        seen, until = [0, 0], time.monotonic() + 10
        while min(seen) < 2_000 and time.monotonic() < until:
            low = slot.low_water_marks
            assert low in ({}, *versions)
            if low:
                seen[versions.index(low)] += 1
        assert min(seen) >= 2_000
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.end()


def test_marks_too_many_to_fit_are_left_out() -> None:
    slot = Slots(1, ROOM).all[0]
    slot.publish_low_water_marks(LOW)
    slot.publish_low_water_marks({f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(300)})
    assert slot.low_water_marks == LOW


def test_marks_of_a_hundred_queues_fit() -> None:
    slot = Slots(1, ROOM).all[0]
    many = {f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(100)}
    slot.publish_low_water_marks(many)
    assert slot.low_water_marks == many


def test_a_process_is_told_to_stop_what_it_runs_and_nothing_else() -> None:
    slots = Slots(2, ROOM)
    slot, other = slots.all[:2]
    for one in (slot, other):
        assert not one.is_cancel_requested, "a new seat"
        one.take()
        assert not one.is_cancel_requested
        one.set_batch(jobs(3))
        one.start_job(1)
        assert not one.is_cancel_requested
    running = slot.running
    assert running is not None
    slot.request_cancel(running)
    assert slot.is_cancel_requested
    assert not other.is_cancel_requested
    slot.start_job(2)
    assert not slot.is_cancel_requested, "the next job"
    slot.request_cancel(running)
    assert not slot.is_cancel_requested, "told too late"
    slot.set_idle()
    assert not slot.is_cancel_requested
    slot.set_batch(jobs(3))
    slot.start_job(1)
    assert not slot.is_cancel_requested, "the same place of the next batch"


def test_whoever_takes_the_seat_of_one_that_was_told_to_stop_is_not_told() -> None:
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


def blame(slot: Slot) -> tuple[Running | None, KillReason]:
    return slot.suspect, slot.kill_reason


def runs(slot: Slot) -> tuple[list[Running], Running | None, int]:
    return slot.all_running, slot.running, slot.held_jobs


def test_of_what_runs_together_the_parent_sees_all_whether_it_goes_on_and_whom_to_end_it_for() -> None:
    slots = Slots(1, ROOM, with_async=True)
    process, slot = slots.all[:2]
    process.take()
    slot.take(is_async=True)
    assert slots.process_slots == [process]
    assert (slot.is_async, process.is_async) == (True, False)
    assert (runs(slot), blame(slot)) == (([], None, 0), (None, KillReason.BLOCKS_LOOP))
    slot.set_running(jobs(3))
    assert [(one.job_id, one.attempt) for one in slot.all_running] == [(job.id, job.attempt) for job in jobs(3)]
    assert runs(slot)[1:] == (slot.all_running[0], 3)
    assert slot.heartbeats == 0
    slot.heartbeat()
    assert slot.heartbeats == 1
    slot.set_suspect(2, KillReason.TIMEOUT)
    assert blame(slot) == (slot.all_running[2], KillReason.TIMEOUT)
    slot.set_suspect(IDLE, KillReason.BLOCKS_LOOP)
    assert blame(slot) == (None, KillReason.BLOCKS_LOOP)
    slot.set_suspect(0, KillReason.IGNORES_CANCEL)
    slot.set_running(jobs(1))
    assert (slot.held_jobs, blame(slot)) == (1, (None, KillReason.BLOCKS_LOOP))
    slot.set_running([])
    assert runs(slot) == ([], None, 0)
    slot.free()
    assert not slot.is_async
    process.set_batch(jobs(3))
    process.start_job(1)
    assert process.all_running == [process.running]
