"""The rate limit of empty claims: free below it, in turn above it, ended by a claim that finds jobs."""

import os
from collections.abc import Callable
from itertools import pairwise

import pytest

from worker.shared_memory.empty_claim_limiter import CHECK_INTERVAL_S, MAX_WAIT_S, EmptyClaimLimiter

PER_SECOND = 20


class World:
    """A worker of two queues, with a clock that only a sleep or a test advances."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.on_sleep: Callable[[], None] = lambda: None
        self.limiter = EmptyClaimLimiter(["a", "b"], PER_SECOND, lambda: self.now_s, self._sleep)

    def _sleep(self, seconds: float) -> None:
        assert 0 < seconds <= CHECK_INTERVAL_S
        self.now_s += seconds
        self.on_sleep()

    def claim(self, queue: str = "a") -> float:
        """Claim for a doorbell; returns the seconds of the wait."""
        began_s = self.now_s
        waited = self.limiter.wait(queue, lambda: False)
        assert waited is (self.now_s > began_s)
        return self.now_s - began_s

    def use_up_the_burst(self) -> None:
        assert [self.claim() for _ in range(PER_SECOND)] == [0.0] * PER_SECOND


@pytest.fixture
def world() -> World:
    return World()


def test_claims_below_the_limit_never_wait(world: World) -> None:
    for _ in range(500):
        assert world.claim() == 0
        world.now_s += 1 / PER_SECOND


def test_claims_above_the_limit_wait_until_the_rate_is_kept(world: World) -> None:
    world.use_up_the_burst()
    began_s = world.now_s
    for _ in range(100):
        assert 0 < world.claim() <= 1.01 / PER_SECOND
    assert world.now_s - began_s == pytest.approx(100 / PER_SECOND)


def test_processes_that_wait_take_turns_up_to_the_longest_wait(world: World) -> None:
    """Each claims at another time, so the first of them finds a new job after one interval."""
    world.use_up_the_burst()
    waits = []
    for _ in range(50):  # their waits begin at the same time
        began_s = world.now_s
        waits.append(world.claim())
        world.now_s = began_s
    assert waits[0] == pytest.approx(1 / PER_SECOND)
    turns = [later - earlier for earlier, later in pairwise(waits[:PER_SECOND])]
    assert turns == [pytest.approx(1 / PER_SECOND)] * (PER_SECOND - 1)
    assert waits[PER_SECOND:] == [pytest.approx(MAX_WAIT_S)] * 30


def test_queues_have_limits_of_their_own(world: World) -> None:
    world.use_up_the_burst()
    assert world.claim("b") == 0
    assert world.claim("a") > 0


def test_claims_that_find_jobs_never_wait(world: World) -> None:
    for _ in range(1_000):
        for _ in range(3):  # doorbells a job: one finds it, two come too late
            assert world.claim() == 0
        world.limiter.found_jobs("a")


def test_a_claim_that_finds_jobs_ends_the_waits_of_its_queue(world: World) -> None:
    world.use_up_the_burst()
    for _ in range(5):
        began_s = world.now_s
        world.claim()
        world.now_s = began_s
    world.on_sleep = lambda: world.limiter.found_jobs("a")
    assert world.claim() == pytest.approx(CHECK_INTERVAL_S)
    assert world.claim() == 0


def test_a_wait_ends_when_the_worker_drains(world: World) -> None:
    world.use_up_the_burst()
    assert world.limiter.wait("a", lambda: True)
    assert world.now_s == 1_000


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_processes_share_the_limit(world: World) -> None:
    pid = os.fork()
    if not pid:
        os._exit(any(world.claim() for _ in range(PER_SECOND)))
    assert os.waitpid(pid, 0)[1] == 0
    assert world.claim() > 0
