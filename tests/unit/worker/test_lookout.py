"""When the parent sends idle processes to look for work that nobody rang for."""

import time

import pytest

from worker.lookout import Lookout
from worker.seats import Seats


class World:
    """Two processes that sit, a database that says what is due, and a clock."""

    def __init__(self) -> None:
        self.seats = Seats(1, 10)
        self.idle = self.seats.all[:2]
        for seat in self.idle:
            seat.sit()
        self.due: list[str] = []
        self.asked = 0
        self.lookout = Lookout(self.seats, 1.0, ["default", "slow"], self._ask)
        self.began = time.monotonic()

    def _ask(self) -> list[str]:
        self.asked += 1
        return self.due

    def look(self, after_s: float) -> bool:
        return self.lookout.look(self.began + after_s, self.idle)


@pytest.fixture
def world() -> World:
    return World()


def test_work_that_nobody_rings_for_is_found_within_a_tick_of_silence(world: World) -> None:
    world.due = ["slow"]
    assert not world.look(0.9)
    assert (world.asked, world.seats.looks) == (0, 0), "they have just looked"
    assert world.look(1.1)
    assert (world.asked, world.seats.looks) == (1, 1)


def test_it_asks_once_a_tick_however_often_it_is_called(world: World) -> None:
    for tenth in range(11, 51):
        world.look(tenth / 10)
    assert (world.asked, world.seats.looks) == (4, 0)


def test_it_sends_them_again_each_tick_while_they_do_not_look(world: World) -> None:
    world.due = ["default"]
    for tenth in range(11, 51):
        assert world.look(tenth / 10)
    assert world.seats.looks == 4


def test_work_of_other_queues_is_none_of_its_business(world: World) -> None:
    world.due = ["other"]
    assert not world.look(5)
    assert (world.asked, world.seats.looks) == (1, 0)


def test_a_worker_without_an_idle_process_asks_nothing(world: World) -> None:
    world.due, world.idle = ["default"], []
    assert not world.look(5)
    assert world.asked == 0


def test_what_was_found_is_forgotten_once_they_have_looked(world: World) -> None:
    world.due = ["default"]
    assert world.look(5)
    for seat in world.idle:
        seat.look()
    world.began = time.monotonic() - 5.5
    assert not world.look(5.6)


def test_a_database_that_is_away_is_the_callers_to_handle(world: World) -> None:
    def away() -> list[str]:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        Lookout(world.seats, 1.0, ["default"], away).look(world.began + 5, world.idle)
    assert world.seats.looks == 0
