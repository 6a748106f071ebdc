"""Seats: what a worker's parent sees of its processes through shared memory."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from common.domain.job import Claimed
from worker.shared_memory.slots import IDLE, Blame, Low, Running, Seat, Seats, seat_size

ROOM = 5
#: From Python 3.12 on forking beside other threads warns; what the children here do needs no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
LOW = {"default": {"5": "2026-01-01 00:00:00.5+00"}}


def jobs(count: int, timeout_ms: int | None = 300_000) -> list[Claimed]:
    return [Claimed(f"01900000-0000-7000-8000-{number:012}", number + 1, 0, 3, "noop", "{}", timeout_ms) for number in range(count)]


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
    seats = Seats(1, ROOM)
    seat, batch = seats.all[0], jobs(3)
    child = Child(seat.sit, lambda: seat.register(42), lambda: seat.begin(batch), lambda: seat.run(0), lambda: seat.run(2), seat.idle, seat.leave)
    assert (seat.pid, seat.worker, seat.running) == (0, 0, None)
    child.next()  # sits
    assert (seat.pid, seat.worker, seat.running, seat.busy) == (child.pid, 0, None, 0)
    child.next()  # registers
    assert seat.worker == 42
    child.next()  # begins a batch
    assert seat.running is None
    child.next()  # runs the first
    assert seat.running == Running(1, 0, batch[0].id, 1, 300_000)
    assert seat.busy == 3
    child.next()  # runs the last
    assert seat.running == Running(1, 2, batch[2].id, 3, 300_000)
    assert seat.busy == 1
    child.next()  # idles
    assert (seat.running, seat.busy) == (None, 0)
    child.next()  # leaves
    assert (seat.pid, seat.worker) == (0, 0)
    child.end()


def test_a_process_that_dies_leaves_behind_what_it_ran() -> None:
    seats = Seats(1, ROOM)
    seat, batch = seats.all[0], jobs(2, timeout_ms=None)

    def run() -> None:
        seat.sit()
        seat.register(7)
        seat.begin(batch)
        seat.run(1)

    child = Child(run)
    child.next()
    child.end()
    assert (seat.pid, seat.worker) == (child.pid, 7)
    assert seat.running == Running(1, 1, batch[1].id, 2, 0)


def test_a_process_sees_that_its_parent_drains_and_that_its_lease_was_lost() -> None:
    seats = Seats(1, ROOM)
    seat = seats.all[0]

    def check() -> None:
        assert seats.draining
        assert seat.worker == 0

    child = Child(lambda: seat.register(9), check)
    child.next()
    assert not seats.draining
    seats.drain()
    seat.register(0)
    child.next()
    child.end()


def test_each_batch_has_a_number_of_its_own_so_that_two_runs_are_never_taken_for_one() -> None:
    seat = Seats(1, ROOM).all[0]
    seat.sit()
    runs = []
    for _ in range(3):
        seat.begin(jobs(1))
        seat.run(0)
        runs.append(seat.running)
        seat.idle()
    assert len({run.batch for run in runs if run}) == 3


def test_a_new_batch_does_not_run_before_its_first_job_does() -> None:
    seat = Seats(1, ROOM).all[0]
    seat.sit()
    seat.begin(jobs(3))
    seat.run(2)
    seat.begin(jobs(3))
    assert seat.running is None
    assert seat.busy == 0


def test_a_full_batch_fits_and_touches_no_other_seat() -> None:
    seats = Seats(2, ROOM)
    assert len(seats.all) == 8
    for seat in seats.all:
        seat.sit()
        seat.publish_low(LOW)
    seats.all[3].begin(jobs(ROOM))
    for at, job in enumerate(jobs(ROOM)):
        seats.all[3].run(at)
        assert seats.all[3].running == Running(1, at, job.id, job.attempt, 300_000)
        assert seats.all[3].busy == ROOM - at
    for number, seat in enumerate(seats.all):
        assert seat.low == LOW
        assert number == 3 or seat.running is None


def test_a_batch_larger_than_the_room_is_refused() -> None:
    seat = Seats(1, ROOM).all[0]
    with pytest.raises(ValueError, match="different"):
        seat.begin(jobs(ROOM + 1))


@pytest.mark.parametrize("room", range(1, 12))
def test_every_seat_begins_at_a_word(room: int) -> None:
    assert seat_size(room) % 8 == 0


def test_a_seat_taken_again_shows_nothing_of_the_one_before() -> None:
    seat = Seats(1, ROOM).all[0]
    seat.sit()
    seat.register(1)
    seat.publish_low(LOW)
    seat.begin(jobs(2))
    seat.run(1)
    assert seat.low == LOW
    seat.leave()
    assert (seat.pid, seat.worker, seat.running, seat.busy, seat.low) == (0, 0, None, 0, {})
    seat.sit()
    assert (seat.pid, seat.worker, seat.running, seat.busy, seat.low) == (os.getpid(), 0, None, 0, {})


def test_marks_that_are_being_written_are_never_read_half() -> None:
    """Two versions of one length: a mixture of them would be marks that no process ever had."""
    seat = Seats(1, ROOM).all[0]
    versions: list[Low] = [
        {f"q{number}": {str(p): f"2026-01-01 00:00:{second}.{second}+00" for p in range(10)} for number in range(18)} for second in ("11", "22")
    ]

    def publish_for_ever() -> None:
        while True:
            for version in versions:
                seat.publish_low(version)

    child = Child(publish_for_ever)
    child.say()
    try:
        seen, until = [0, 0], time.monotonic() + 10
        while min(seen) < 2_000 and time.monotonic() < until:
            low = seat.low
            assert low in ({}, *versions)
            if low:
                seen[versions.index(low)] += 1
        assert min(seen) >= 2_000
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.end()


def test_marks_too_many_to_fit_are_left_out() -> None:
    seat = Seats(1, ROOM).all[0]
    seat.publish_low(LOW)
    seat.publish_low({f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(300)})
    assert seat.low == LOW


def test_marks_of_a_hundred_queues_fit() -> None:
    seat = Seats(1, ROOM).all[0]
    many = {f"queue-{number}": {str(p): "2026-01-01 00:00:00.123456+00" for p in range(10)} for number in range(100)}
    seat.publish_low(many)
    assert seat.low == many


def test_a_process_is_told_to_stop_what_it_runs_and_nothing_else() -> None:
    seats = Seats(2, ROOM)
    seat, other = seats.all[:2]
    for one in (seat, other):
        assert not one.asked_to_stop, "a new seat"
        one.sit()
        assert not one.asked_to_stop
        one.begin(jobs(3))
        one.run(1)
        assert not one.asked_to_stop
    running = seat.running
    assert running is not None
    seat.ask_to_stop(running)
    assert seat.asked_to_stop
    assert not other.asked_to_stop
    seat.run(2)
    assert not seat.asked_to_stop, "the next job"
    seat.ask_to_stop(running)
    assert not seat.asked_to_stop, "told too late"
    seat.idle()
    assert not seat.asked_to_stop
    seat.begin(jobs(3))
    seat.run(1)
    assert not seat.asked_to_stop, "the same place of the next batch"


def test_whoever_takes_the_seat_of_one_that_was_told_to_stop_is_not_told() -> None:
    seat = Seats(1, ROOM).all[0]
    seat.sit()
    seat.begin(jobs(1))
    seat.run(0)
    assert seat.running is not None
    seat.ask_to_stop(seat.running)
    assert seat.asked_to_stop
    seat.leave()
    seat.sit()
    assert not seat.asked_to_stop
    seat.begin(jobs(1))
    seat.run(0)
    assert not seat.asked_to_stop


def blame(seat: Seat) -> tuple[Running | None, Blame]:
    return seat.blamed, seat.blamed_for


def runs(seat: Seat) -> tuple[list[Running], Running | None, int]:
    return seat.all_running, seat.running, seat.busy


def test_of_what_runs_together_the_parent_sees_all_whether_it_goes_on_and_whom_to_end_it_for() -> None:
    seats = Seats(1, ROOM, together=True)
    process, seat = seats.all[:2]
    process.sit()
    seat.sit(together=True)
    assert seats.of_processes == [process]
    assert (seat.is_together, process.is_together) == (True, False)
    assert (runs(seat), blame(seat)) == (([], None, 0), (None, Blame.HOLDS_UP))
    seat.run_together(jobs(3))
    assert [(one.job_id, one.attempt) for one in seat.all_running] == [(job.id, job.attempt) for job in jobs(3)]
    assert runs(seat)[1:] == (seat.all_running[0], 3)
    assert seat.pulses == 0
    seat.pulse()
    assert seat.pulses == 1
    seat.blame(2, Blame.OVERRUNS)
    assert blame(seat) == (seat.all_running[2], Blame.OVERRUNS)
    seat.blame(IDLE, Blame.HOLDS_UP)
    assert blame(seat) == (None, Blame.HOLDS_UP)
    seat.blame(0, Blame.GOES_ON)
    seat.run_together(jobs(1))
    assert (seat.busy, blame(seat)) == (1, (None, Blame.HOLDS_UP))
    seat.run_together([])
    assert runs(seat) == ([], None, 0)
    seat.leave()
    assert not seat.is_together
    process.begin(jobs(3))
    process.run(1)
    assert process.all_running == [process.running]
