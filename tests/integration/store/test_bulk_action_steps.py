"""How the controller shares out turns: by the rate of each action, several one after the other, within its part of a tick."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2
import psycopg2.errors
import pytest
from integration.store.support.bulk_actions import Acting, begin
from integration.store.support.storage import Storage
from prometheus_client import CollectorRegistry

from common.domain.bulk_actions import ActionKind, Verb
from common.store.bulk_actions import steps
from common.telemetry import metrics
from worker.controller.bulk_actions import BulkActions


@dataclass
class Clock:
    """A time that goes on when it is told to."""

    now_s: float = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leader(storage: Storage, registry: CollectorRegistry, clock: Clock) -> BulkActions:
    return BulkActions(storage.settings, metrics.BULK_ACTION_JOBS.counter(registry), clock)


def _rate(storage: Storage, action_id: str, rate: int) -> None:
    storage.rows("UPDATE actions SET rate = %s WHERE id = %s", (rate, action_id))


def test_a_rate_is_kept_whatever_the_length_of_the_ticks(storage: Storage, acting: Acting, leader: BulkActions, clock: Clock) -> None:
    storage.fill(2_000)
    action_id = begin(acting, ActionKind.CANCEL)
    _rate(storage, action_id, 100)
    total, began_s = 0, clock.now_s
    for seconds in (0.0, 0.25, 0.25, 1.0, 1.5, 0.015, 1.0, 2.0, 1.985):
        clock.now_s += seconds
        total += leader.run_steps(acting.connection)[0]
        assert total <= 100 * (clock.now_s - began_s + 1), "never more than the time allows, and a tick's worth to begin with"
    assert 899 <= total <= 900, "in eight seconds"
    assert storage.one("SELECT count(*) FROM outcomes") == total
    clock.now_s += 3_600
    assert leader.run_steps(acting.connection)[0] == 200, "what was not used is lost: no burst after a pause"


def test_a_rate_of_one_a_second_is_one_a_second(storage: Storage, acting: Acting, leader: BulkActions, clock: Clock) -> None:
    storage.fill(10)
    _rate(storage, begin(acting, ActionKind.CANCEL), 1)
    done = []
    for _ in range(10):
        done.append(leader.run_steps(acting.connection)[0])
        clock.now_s += 0.5
    assert done == [1, 0] * 5


def test_several_take_turns_and_a_step_is_no_longer_than_is_said(storage: Storage, acting: Acting, clock: Clock, registry: CollectorRegistry) -> None:
    storage.fill(100, queue="a")
    storage.fill(100, queue="b")
    leader = BulkActions(storage.settings.model_copy(update={"action_step_jobs": 10}), metrics.BULK_ACTION_JOBS.counter(registry), clock)
    for queue in ("a", "b"):
        _rate(storage, acting.begun(ActionKind.CANCEL, queue=queue), 30)
    before = steps.run_step
    order = []

    def take(*arguments: object) -> object:
        turn = before(*arguments)  # type: ignore[arg-type]  # handed on
        order.append((arguments[1], 0 if turn is None else turn.jobs))
        return turn

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "take", take)
        assert leader.run_steps(acting.connection)[0] == 60
    assert [jobs for _, jobs in order] == [10] * 6
    assert [one for one, _ in order] == [order[0][0], order[1][0]] * 3
    assert registry.get_sample_value("jobproc_action_jobs_total", {"action": "cancel", "result": "done"}) == 60


def test_a_tick_gives_them_no_more_than_its_share(storage: Storage, acting: Acting, leader: BulkActions, clock: Clock) -> None:
    storage.fill(100)
    _rate(storage, begin(acting, ActionKind.CANCEL), 2_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leader, "_clock", iter(range(1_000, 2_000)).__next__)  # each look at it finds a second gone
        assert leader.run_steps(acting.connection)[0] == 0
    clock.now_s += 5_000
    assert leader.run_steps(acting.connection)[0] == 100


def test_a_row_that_is_held_keeps_nobody_else_from_a_turn(storage: Storage, acting: Acting, clock: Clock, registry: CollectorRegistry) -> None:
    storage.fill(3, queue="a")
    storage.fill(3, queue="b")
    leader = BulkActions(storage.settings.model_copy(update={"lock_timeout_seconds": 0.05}), metrics.BULK_ACTION_JOBS.counter(registry), clock)
    held, free = acting.begun(ActionKind.CANCEL, queue="a"), acting.begun(ActionKind.CANCEL, queue="b")
    holder = storage.session()
    holder.cursor().execute("SELECT FROM live WHERE queue = 'a' FOR UPDATE")
    assert leader.run_steps(acting.connection)[0] == 3
    assert (acting.look(free)["phase"], acting.look(held)["matched"]) == ("DONE", 0)
    holder.rollback()
    assert leader.run_steps(acting.connection)[0] == 3


@pytest.fixture
def refused(storage: Storage) -> Iterator[None]:
    """A database that takes no cancelled job."""
    storage.rows("ALTER TABLE outcomes ADD CONSTRAINT none CHECK (status <> 'CANCELLED')")
    yield
    storage.rows("ALTER TABLE outcomes DROP CONSTRAINT none")


def test_what_postgresql_refuses_stops_its_action_and_no_other(
    storage: Storage, acting: Acting, leader: BulkActions, clock: Clock, request: pytest.FixtureRequest
) -> None:
    storage.fill(3)
    bad, good = begin(acting, ActionKind.CANCEL), begin(acting, ActionKind.REPRIORITISE)
    request.getfixturevalue("refused")
    assert leader.run_steps(acting.connection)[0] == 3
    found = acting.look(bad)
    assert (found["phase"], found["matched"]) == ("STOPPED", 0)
    assert "violates check constraint" in found["error"]
    assert acting.look(good)["phase"] == "DONE"


def test_a_database_that_is_away_is_the_controllers_to_wait_for(storage: Storage, acting: Acting, leader: BulkActions) -> None:
    storage.fill(3)
    action_id = begin(acting, ActionKind.CANCEL)
    acting.connection.driver_connection.close()
    with pytest.raises(psycopg2.InterfaceError):
        leader.run_steps(acting.connection)
    acting.connection = storage.connection()
    assert leader.run_steps(acting.connection)[0] == 3
    assert acting.look(action_id)["phase"] == "DONE"


def test_an_undo_is_counted_apart(storage: Storage, acting: Acting, leader: BulkActions, registry: CollectorRegistry, clock: Clock) -> None:
    storage.fill(3)
    action_id = begin(acting, ActionKind.CANCEL)
    leader.run_steps(acting.connection)
    storage.rows("DELETE FROM jobs WHERE id = (SELECT min(id::text)::uuid FROM jobs)")
    acting.ask(action_id, Verb.UNDO)
    clock.now_s += 1
    assert leader.run_steps(acting.connection)[0] == 3
    counts = {result: registry.get_sample_value("jobproc_action_jobs_total", {"action": "cancel", "result": result}) for result in ("done", "undo_done")}
    assert counts == {"done": 3, "undo_done": 2}
    assert registry.get_sample_value("jobproc_action_jobs_total", {"action": "cancel", "result": "undo_skipped"}) == 1
