"""Which jobs are looked up, when, and what a parent does about those that are cancelled."""

from collections.abc import Sequence

import pytest

from common.domain.job import ClaimedJob
from common.settings import Settings
from worker.shared_memory.slots import Running, Slot, Slots
from worker.supervision.cancellation import CancellationCheck

EVERY_S, GRACE_S = 1.0, 10.0


class Parent:
    """Two processes as their parent sees them, and what it asks the database."""

    def __init__(self) -> None:
        self.cancellation = CancellationCheck(Settings(cancel_check_seconds=EVERY_S, cancel_grace_seconds=GRACE_S))
        self.slots = Slots(2, 5).all[:2]
        self.began: dict[int, tuple[Running, float]] = {}
        self.asked: list[list[tuple[str, int, int]]] = []
        self.cancelled: set[int] = set()
        for number, slot in enumerate(self.slots, 1):
            slot.take()
            slot._head[0] = number  # the process that sits here: only this one does in truth
            slot.register(100 + number)

    def run(self, slot: Slot, now: float) -> Running:
        slot.set_batch([ClaimedJob("01900000-0000-7000-8000-000000000001", 1, 0, 3, "noop", "{}", None)])
        slot.start_job(0)
        assert slot.running is not None
        self.began[slot.pid] = slot.running, now
        return slot.running

    def ask(self, running: Sequence[tuple[str, int, int]]) -> set[int]:
        self.asked.append(list(running))
        return self.cancelled

    def look(self, now: float) -> None:
        self.cancellation.tick(now, self.slots, self.began, self.ask)


@pytest.fixture
def parent(bare: pytest.MonkeyPatch) -> Parent:
    return Parent()


def test_idle_workers_and_short_jobs_cost_nothing(parent: Parent) -> None:
    for tenth in range(100):
        parent.look(tenth / 10)
        parent.run(parent.slots[0], tenth / 10)
        parent.look(tenth / 10 + 0.05)
    assert parent.asked == []


def test_a_job_that_has_run_for_so_long_is_looked_up_and_again_each_time_this_has_passed(parent: Parent) -> None:
    first = parent.run(parent.slots[0], 0.0)
    parent.run(parent.slots[1], 2.5)
    for tenth in range(40):
        parent.look(tenth / 10)
    assert [[worker for _, _, worker in running] for running in parent.asked] == [[101], [101], [101]]
    assert parent.asked[0] == [(first.job_id, first.attempt, 101)]
    parent.look(4.2)
    assert [worker for _, _, worker in parent.asked[-1]] == [101, 102]


def test_what_is_cancelled_is_told_once_and_overdue_past_its_grace(parent: Parent) -> None:
    slot, other = parent.slots
    running, beside = parent.run(slot, 0.0), parent.run(other, 0.0)
    parent.cancelled = {101}
    parent.look(1.0)
    assert (slot.is_cancel_requested, other.is_cancel_requested) == (True, False)
    parent.cancelled = set()
    parent.look(2.0)
    assert [worker for _, _, worker in parent.asked[-1]] == [102], "who was told is not looked up again"
    assert not parent.cancellation.is_overdue(1, running, 11.0)
    assert parent.cancellation.is_overdue(1, running, 11.1)
    assert not parent.cancellation.is_overdue(2, beside, 99.0)


def test_who_has_gone_on_is_not_overdue(parent: Parent) -> None:
    parent.run(parent.slots[0], 0.0)
    parent.cancelled = {101}
    parent.look(1.0)
    parent.cancelled = set()
    now = parent.run(parent.slots[0], 2.0)
    assert not parent.cancellation.is_overdue(1, now, 99.0)
    parent.look(3.0)
    assert len(parent.asked) == 2, "its next job is looked up as any other"
    del parent.began[1]
    parent.look(5.0)
    assert len(parent.asked) == 2


def test_a_process_without_a_lease_has_nothing_to_look_up(parent: Parent) -> None:
    parent.run(parent.slots[0], 0.0)
    parent.slots[0].register(0)
    parent.look(5.0)
    assert parent.asked == []


def test_a_look_that_fails_is_not_made_again_at_once(parent: Parent) -> None:
    """The database is away: leases are what counts then."""
    parent.run(parent.slots[0], 0.0)

    def away(running: Sequence[tuple[str, int, int]]) -> set[int]:
        parent.asked.append(list(running))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        parent.cancellation.tick(1.0, parent.slots, parent.began, away)
    parent.look(1.5)
    assert len(parent.asked) == 1
    parent.look(2.0)
    assert len(parent.asked) == 2
