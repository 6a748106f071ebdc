"""Polling fallback: when the parent asks idle processes to claim without a doorbell."""

import time

import pytest

from common.domain.job import ClaimedJob
from worker.shared_memory.slots import Slots
from worker.supervision.idle_poll import IdlePoller


class World:
    """Three processes with slots, and a clock."""

    def __init__(self) -> None:
        self.slots = Slots(1, 10).all[:3]
        for slot in self.slots:
            slot.take()
            slot.mark_claim()
        self.poller = IdlePoller(1.0)
        self.began = time.monotonic()

    def tick(self, after_s: float) -> list[int]:
        """Run a tick of the poller; returns how often each process has been asked to poll by then."""
        idle = [slot for slot in self.slots if slot.running is None]
        self.poller.tick(self.began + after_s, idle, busy=len(idle) < len(self.slots))
        return [slot.poll_requests for slot in self.slots]

    def run(self, number: int) -> None:
        """Run a job in a process."""
        self.slots[number].set_batch([ClaimedJob("0" * 36, 1, 0, 3, "effect", None, None)])
        self.slots[number].start_job(0)


@pytest.fixture
def world() -> World:
    return World()


def test_a_process_that_claimed_within_the_last_tick_is_not_asked_to_poll(world: World) -> None:
    assert world.tick(0.9) == [0, 0, 0]


def test_one_process_a_tick_polls_in_rotation_so_that_one_that_hangs_delays_no_other(world: World) -> None:
    assert world.tick(1.1) == [1, 0, 0]
    assert world.tick(1.9) == [1, 0, 0]
    assert world.tick(2.2) == [1, 1, 0]
    assert world.tick(3.3) == [1, 1, 1]
    assert world.tick(4.4) == [2, 1, 1]


def test_every_idle_process_polls_while_another_has_found_work(world: World) -> None:
    world.run(0)
    assert world.tick(1.1) == [0, 1, 1]


def test_a_process_that_runs_a_job_is_not_asked_to_poll(world: World) -> None:
    for number in range(3):
        world.run(number)
    assert world.tick(60) == [0, 0, 0]


def test_a_process_that_does_not_poll_is_asked_again(world: World) -> None:
    world.slots = world.slots[:1]
    assert [world.tick(after_s) for after_s in (1.1, 2.2, 3.3)] == [[1], [2], [3]]
