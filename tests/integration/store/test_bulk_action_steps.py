"""Steps of bulk actions in the controller: the rate of each action, fairness among them, their share of a tick."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg2.errors
import pytest
from integration.store.support.bulk_actions import ActionDriver, start_action
from integration.store.support.storage import Storage
from prometheus_client import CollectorRegistry
from psycopg2.errorcodes import LOCK_NOT_AVAILABLE

from common.domain.bulk_actions import ActionKind, ActionRequest
from common.store.bulk_actions import steps
from common.store.connection.psycopg2_session import DatabaseUnavailable
from common.telemetry import metrics
from worker.controller.bulk_actions import MAX_ACTIVE, BulkActions


@dataclass
class Clock:
    """A clock that a test advances."""

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
def bulk_actions(storage: Storage, registry: CollectorRegistry, clock: Clock) -> BulkActions:
    return BulkActions(storage.settings, metrics.BULK_ACTION_JOBS.counter(registry), clock)


def _rate(storage: Storage, bulk_action_id: str, rate: int) -> None:
    storage.rows("UPDATE bulk_actions SET jobs_per_second = %s WHERE id = %s", (rate, bulk_action_id))


def test_a_rate_is_kept_with_ticks_of_any_length(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(2_000)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    _rate(storage, bulk_action_id, 100)
    total, began_s = 0, clock.now_s
    for seconds in (0.0, 0.25, 0.25, 1.0, 1.5, 0.015, 1.0, 2.0, 1.985):
        clock.now_s += seconds
        total += bulk_actions.run_steps(actions.connection)
        assert total <= 100 * (clock.now_s - began_s + 1), "at most the rate, plus one tick at the start"
    assert 899 <= total <= 900, "in eight seconds"
    assert storage.value("SELECT count(*) FROM outcomes") == total
    clock.now_s += 3_600
    assert bulk_actions.run_steps(actions.connection) == 200, "unused steps are lost: no burst after a pause"


def test_a_rate_of_one_changes_one_job_a_second(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(10)
    _rate(storage, start_action(actions, ActionKind.CANCEL), 1)
    changed = []
    for _ in range(10):
        changed.append(bulk_actions.run_steps(actions.connection))
        clock.now_s += 0.5
    assert changed == [1, 0] * 5


def test_actions_take_turns_in_steps_of_the_configured_size(
    storage: Storage, actions: ActionDriver, clock: Clock, registry: CollectorRegistry
) -> None:
    storage.fill(100, queue="a")
    storage.fill(100, queue="b")
    bulk_actions = BulkActions(
        storage.settings.model_copy(update={"bulk_action_step_jobs": 10}),
        metrics.BULK_ACTION_JOBS.counter(registry),
        clock,
    )
    for queue in ("a", "b"):
        _rate(storage, actions.start(ActionKind.CANCEL, queue=queue), 30)
    run_step = steps.run_step
    order = []

    def record_step(*arguments: object) -> object:
        step = run_step(*arguments)  # type: ignore[arg-type]  # passed through
        order.append((arguments[1], 0 if step is None else step.jobs))
        return step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "run_step", record_step)
        assert bulk_actions.run_steps(actions.connection) == 60
    assert [jobs for _, jobs in order] == [10] * 6
    assert [action_id for action_id, _ in order] == [order[0][0], order[1][0]] * 3
    assert registry.get_sample_value("jobproc_bulk_action_jobs_total", {"action": "cancel", "result": "done"}) == 60


def _start_many(storage: Storage, actions: ActionDriver, count: int, rate: int, queue: str) -> None:
    """Start copies of a bulk action, with ids before those of later ones."""
    original = actions.start(ActionKind.CANCEL, queue=queue)
    _rate(storage, original, rate)
    columns = "kind, phase, filter, jobs_per_second, as_of, count, count_is_exact, sample, skipped, not_undone"
    storage.rows(
        f"""INSERT INTO bulk_actions (id, {columns})
            SELECT lpad(to_hex(n), 32, '0')::uuid, {columns}
            FROM bulk_actions, generate_series(2, %s) AS n WHERE id = %s""",
        (count, original),
    )


@pytest.mark.parametrize("max_active", [50, MAX_ACTIVE])
def test_an_action_makes_progress_at_once_however_many_slow_ones_are_active(
    storage: Storage,
    actions: ActionDriver,
    bulk_actions: BulkActions,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    max_active: int,
) -> None:
    """Only the hundred oldest were served: a hundred at one job a second delayed every later one for hours."""
    monkeypatch.setattr("worker.controller.bulk_actions.MAX_ACTIVE", max_active)
    storage.fill(500, queue="slow")
    storage.fill(100, queue="quick")
    _start_many(storage, actions, 120, 1, "slow")
    bulk_actions.run_steps(actions.connection)
    quick = actions.start(ActionKind.CANCEL, queue="quick")
    _rate(storage, quick, 100)
    clock.now_s += 1
    bulk_actions.run_steps(actions.connection)
    assert actions.read(quick)["done"] == 100


def test_the_action_whose_last_step_is_the_longest_ago_is_served_next(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(1_000, queue="slow")
    _start_many(storage, actions, 5, 1, "slow")
    bulk_actions.run_steps(actions.connection)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.controller.bulk_actions.MAX_ACTIVE", 2)  # a tick has time for no more
        for ticks in range(1, 11):
            clock.now_s += 1
            bulk_actions.run_steps(actions.connection)
            counts = storage.value("SELECT array_agg(done) FROM bulk_actions")
            assert sum(counts) == 5 + 2 * ticks and max(counts) - min(counts) <= 1


def test_actions_that_are_started_all_the_time_take_half_of_the_turns_at_most(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(1_000, queue="slow")
    old = actions.start(ActionKind.CANCEL, queue="slow")
    _rate(storage, old, 1)
    bulk_actions.run_steps(actions.connection)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.controller.bulk_actions.MAX_ACTIVE", 2)
        for _ in range(3):
            for _ in range(2):
                actions.start(ActionKind.CANCEL, queue="none")
            clock.now_s += 1
            bulk_actions.run_steps(actions.connection)
    assert actions.read(old)["done"] == 4


def test_steps_that_are_repeated_do_not_delay_other_actions(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(10, queue="a")
    storage.fill(10, queue="b")
    free, locked = actions.start(ActionKind.CANCEL, queue="b"), actions.start(ActionKind.CANCEL, queue="a")
    run_step = steps.run_step

    def refuse_step(*arguments: object) -> object:
        if arguments[1] == locked:
            error = DatabaseUnavailable(psycopg2.errors.LockNotAvailable())
            error.sqlstate = LOCK_NOT_AVAILABLE
            raise error
        return run_step(*arguments)  # type: ignore[arg-type]  # passed through

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "run_step", refuse_step)
        patch.setattr("worker.controller.bulk_actions.MAX_ACTIVE", 1)
        assert bulk_actions.run_steps(actions.connection) == 0
        assert bulk_actions.run_steps(actions.connection) == 10
    assert actions.read(free)["phase"] == "DONE"


def test_steps_end_with_their_share_of_the_tick(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock
) -> None:
    storage.fill(100)
    _rate(storage, start_action(actions, ActionKind.CANCEL), 2_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bulk_actions, "_clock", iter(range(1_000, 2_000)).__next__)  # each reading is a second later
        assert bulk_actions.run_steps(actions.connection) == 0
    clock.now_s += 5_000
    assert bulk_actions.run_steps(actions.connection) == 100


def test_a_locked_row_does_not_delay_other_actions(
    storage: Storage, actions: ActionDriver, clock: Clock, registry: CollectorRegistry
) -> None:
    storage.fill(3, queue="a")
    storage.fill(3, queue="b")
    bulk_actions = BulkActions(
        storage.settings.model_copy(update={"lock_timeout_seconds": 0.05}),
        metrics.BULK_ACTION_JOBS.counter(registry),
        clock,
    )
    held, free = actions.start(ActionKind.CANCEL, queue="a"), actions.start(ActionKind.CANCEL, queue="b")
    holder = storage.session()
    holder.cursor().execute("SELECT FROM live WHERE queue = 'a' FOR UPDATE")
    assert bulk_actions.run_steps(actions.connection) == 3
    assert (actions.read(free)["phase"], actions.read(held)["matched"]) == ("DONE", 0)
    holder.rollback()
    assert bulk_actions.run_steps(actions.connection) == 3


@pytest.fixture
def refused(storage: Storage) -> Iterator[None]:
    """A database that refuses cancelled jobs."""
    storage.rows("ALTER TABLE outcomes ADD CONSTRAINT none CHECK (status <> 'CANCELLED')")
    yield
    storage.rows("ALTER TABLE outcomes DROP CONSTRAINT none")


def test_a_statement_that_postgresql_refuses_stops_its_action_and_no_other(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, clock: Clock, request: pytest.FixtureRequest
) -> None:
    storage.fill(3)
    bad, good = start_action(actions, ActionKind.CANCEL), start_action(actions, ActionKind.REPRIORITISE)
    request.getfixturevalue("refused")
    assert bulk_actions.run_steps(actions.connection) == 3
    action = actions.read(bad)
    assert (action["phase"], action["matched"]) == ("STOPPED", 0)
    assert "violates check constraint" in action["error"]
    assert actions.read(good)["phase"] == "DONE"


def test_a_lost_connection_is_raised_to_the_controller(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions
) -> None:
    storage.fill(3)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    actions.connection.driver_connection.close()
    with pytest.raises(DatabaseUnavailable):
        bulk_actions.run_steps(actions.connection)
    actions.connection = storage.connection()
    assert bulk_actions.run_steps(actions.connection) == 3
    assert actions.read(bulk_action_id)["phase"] == "DONE"


def test_an_undo_has_its_own_counts(
    storage: Storage, actions: ActionDriver, bulk_actions: BulkActions, registry: CollectorRegistry, clock: Clock
) -> None:
    storage.fill(3)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    bulk_actions.run_steps(actions.connection)
    storage.rows("DELETE FROM jobs WHERE id = (SELECT min(id::text)::uuid FROM jobs)")
    actions.request(bulk_action_id, ActionRequest.UNDO)
    clock.now_s += 1
    assert bulk_actions.run_steps(actions.connection) == 3
    counts = {
        result: registry.get_sample_value("jobproc_bulk_action_jobs_total", {"action": "cancel", "result": result})
        for result in ("done", "undo_done")
    }
    assert counts == {"done": 3, "undo_done": 2}
    assert (
        registry.get_sample_value("jobproc_bulk_action_jobs_total", {"action": "cancel", "result": "undo_skipped"}) == 1
    )
