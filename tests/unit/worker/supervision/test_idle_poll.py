"""When the parent sends idle processes to look for work that nobody rang for."""

import time

import pytest

from common.domain.job import ClaimedJob
from worker.shared_memory.slots import Slots
from worker.supervision.idle_poll import IdlePoller


class World:
    """Three processes that sit, and a clock."""

    def __init__(self) -> None:
        self.slots = Slots(1, 10).all[:3]
        for slot in self.slots:
            slot.take()
        self.lookout = IdlePoller(1.0)
        self.began = time.monotonic()

    def look(self, after_s: float) -> list[int]:
        """Let the parent look; returns how often each has been sent by then."""
        idle = [slot for slot in self.slots if slot.running is None]
        self.lookout.tick(self.began + after_s, idle, busy=len(idle) < len(self.slots))
        return [slot.poll_requests for slot in self.slots]

    def run(self, at: int) -> None:
        """Let a process run a job."""
        self.slots[at].set_batch([ClaimedJob("0" * 36, 1, 0, 3, "effect", None, None)])
        self.slots[at].start_job(0)


@pytest.fixture
def world() -> World:
    return World()


def test_nobody_is_sent_who_looked_a_moment_ago(world: World) -> None:
    assert world.look(0.9) == [0, 0, 0]


def test_one_is_sent_each_tick_in_turns_so_that_one_that_hangs_keeps_nobody(world: World) -> None:
    assert world.look(1.1) == [1, 0, 0]
    assert world.look(1.9) == [1, 0, 0]
    assert world.look(2.2) == [1, 1, 0]
    assert world.look(3.3) == [1, 1, 1]
    assert world.look(4.4) == [2, 1, 1]


def test_everyone_is_sent_while_one_has_found_work(world: World) -> None:
    world.run(0)
    assert world.look(1.1) == [0, 1, 1]


def test_who_runs_a_job_is_not_sent(world: World) -> None:
    for at in range(3):
        world.run(at)
    assert world.look(60) == [0, 0, 0]


def test_one_that_does_not_go_is_sent_again(world: World) -> None:
    world.slots = world.slots[:1]
    assert [world.look(after_s) for after_s in (1.1, 2.2, 3.3)] == [[1], [2], [3]]
