"""Cancellation of running jobs by their parent: which attempts are looked up, when, and what follows."""

from collections.abc import Sequence

import pytest

from common.domain.job import ClaimedJob
from common.settings import Settings
from worker.shared_memory.slots import RunningAttempt, Slot, Slots
from worker.supervision.cancellation import CancellationCheck

EVERY_S, GRACE_S = 1.0, 10.0


class Parent:
    """Two processes as their parent sees them, and its queries of the database."""

    def __init__(self) -> None:
        self.cancellation = CancellationCheck(Settings(cancel_check_seconds=EVERY_S, cancel_grace_seconds=GRACE_S))
        self.slots = Slots(2, 5).all[:2]
        self.running: dict[int, tuple[RunningAttempt, float]] = {}
        self.queries: list[list[tuple[str, int, int]]] = []
        self.cancelled: set[int] = set()
        for number, slot in enumerate(self.slots, 1):
            slot.take()
            slot._head[0] = number  # the slot's process; in truth both are this one
            slot.register(100 + number)

    def run(self, slot: Slot, now: float) -> RunningAttempt:
        slot.set_batch([ClaimedJob("01900000-0000-7000-8000-000000000001", 1, 0, 3, "noop", "{}", None)])
        slot.start_job(0)
        assert slot.running is not None
        self.running[slot.pid] = slot.running, now
        return slot.running

    def find_cancelled(self, attempts: Sequence[tuple[str, int, int]]) -> set[int]:
        self.queries.append(list(attempts))
        return self.cancelled

    def tick(self, now: float) -> None:
        self.cancellation.tick(now, self.slots, self.running, self.find_cancelled)


@pytest.fixture
def parent(bare: pytest.MonkeyPatch) -> Parent:
    return Parent()


def test_idle_workers_and_short_jobs_cost_no_query(parent: Parent) -> None:
    for tenth in range(100):
        parent.tick(tenth / 10)
        parent.run(parent.slots[0], tenth / 10)
        parent.tick(tenth / 10 + 0.05)
    assert parent.queries == []


def test_a_job_is_looked_up_once_it_has_run_for_the_interval_and_then_at_each_interval(parent: Parent) -> None:
    first = parent.run(parent.slots[0], 0.0)
    parent.run(parent.slots[1], 2.5)
    for tenth in range(40):
        parent.tick(tenth / 10)
    assert [[worker for _, _, worker in attempts] for attempts in parent.queries] == [[101], [101], [101]]
    assert parent.queries[0] == [(first.job_id, first.attempt, 101)]
    parent.tick(4.2)
    assert [worker for _, _, worker in parent.queries[-1]] == [101, 102]


def test_a_cancelled_attempt_is_asked_to_stop_once_and_overdue_after_its_grace(parent: Parent) -> None:
    slot, other_slot = parent.slots
    cancelled, other = parent.run(slot, 0.0), parent.run(other_slot, 0.0)
    parent.cancelled = {101}
    parent.tick(1.0)
    assert (slot.is_cancel_requested, other_slot.is_cancel_requested) == (True, False)
    parent.cancelled = set()
    parent.tick(2.0)
    assert [worker for _, _, worker in parent.queries[-1]] == [102], "an attempt asked to stop is not looked up again"
    assert not parent.cancellation.is_overdue(1, cancelled, 11.0)
    assert parent.cancellation.is_overdue(1, cancelled, 11.1)
    assert not parent.cancellation.is_overdue(2, other, 99.0)


def test_the_next_attempt_of_a_process_is_not_overdue(parent: Parent) -> None:
    parent.run(parent.slots[0], 0.0)
    parent.cancelled = {101}
    parent.tick(1.0)
    parent.cancelled = set()
    second = parent.run(parent.slots[0], 2.0)
    assert not parent.cancellation.is_overdue(1, second, 99.0)
    parent.tick(3.0)
    assert len(parent.queries) == 2, "its next job is looked up as any other"
    del parent.running[1]
    parent.tick(5.0)
    assert len(parent.queries) == 2


def test_the_attempt_of_a_process_without_a_lease_is_not_looked_up(parent: Parent) -> None:
    parent.run(parent.slots[0], 0.0)
    parent.slots[0].register(0)
    parent.tick(5.0)
    assert parent.queries == []


def test_a_query_that_fails_is_not_repeated_before_the_interval(parent: Parent) -> None:
    """While the database is unavailable the leases matter more."""
    parent.run(parent.slots[0], 0.0)

    def fail(attempts: Sequence[tuple[str, int, int]]) -> set[int]:
        parent.queries.append(list(attempts))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        parent.cancellation.tick(1.0, parent.slots, parent.running, fail)
    parent.tick(1.5)
    assert len(parent.queries) == 1
    parent.tick(2.0)
    assert len(parent.queries) == 2
