"""Bulk actions beside claims, settles, manual retries and locked rows."""

import pytest
from integration.store.support.bulk_actions import ActionDriver, cancelled_jobs, changed_jobs, start_action, states
from integration.store.support.clients import Client
from integration.store.support.storage import Storage, retry_after
from psycopg2.errorcodes import LOCK_NOT_AVAILABLE

from common.domain.bulk_actions import ActionKind, Phase
from common.domain.states import State
from common.store.connection.psycopg2_session import DatabaseUnavailable


def test_a_job_whose_row_is_locked_is_passed_and_changed_in_a_later_step(
    storage: Storage, actions: ActionDriver
) -> None:
    """An uncommitted claim holds the row. The step does not wait, and later finds the job as it is then."""
    taken, free = storage.submit(1), storage.submit(1)
    only_waiting, all_ = actions.start(ActionKind.CANCEL, State.PENDING), start_action(actions, ActionKind.CANCEL)
    claimer = storage.claimer()
    with claimer.connection.transaction():
        (job,) = claimer.claim(1)
        for _ in range(2):
            step = actions.run_step(only_waiting)
            assert step is not None and step.after is Phase.RUNNING and step.outcome.locked_ids == taken
    assert states(storage, free) == ["CANCELLED"]
    action = actions.finish(only_waiting)
    assert (action["done"], action["skipped"]) == (1, {"moved_on": 1})
    assert storage.rows("SELECT cancel_requested FROM live") == [(False,)]
    assert actions.finish(all_)["cancels_requested"] == 1
    claimer.write([job], retry_after(0))
    assert storage.rows("SELECT status, attempt FROM outcomes WHERE id = %s", tuple(taken)) == [("CANCELLED", 1)]


def test_a_job_that_ends_before_its_step_keeps_that_end(storage: Storage, actions: ActionDriver) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(1)
    jobs = claimer.claim()
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    with claimer.connection.transaction():
        claimer.settle(jobs)
        actions.run_step(bulk_action_id)
    action = actions.finish(bulk_action_id)
    assert (action["done"], action["skipped"]) == (0, {"moved_on": 1})
    assert storage.state(job_id) == "SUCCESS"


@pytest.mark.parametrize("kind", [ActionKind.CANCEL, ActionKind.REPRIORITISE])
def test_more_rows_may_be_locked_than_a_step_changes(storage: Storage, actions: ActionDriver, kind: ActionKind) -> None:
    jobs = storage.submit(9)
    bulk_action_id, holder = start_action(actions, kind), storage.session()
    holder.cursor().execute("SELECT FROM live ORDER BY id LIMIT 5 FOR UPDATE")
    for max_jobs in (9, 3, 4):
        step = actions.run_step(bulk_action_id, max_jobs)
        assert step is not None and sorted(step.outcome.locked_ids) == jobs[:5]
    holder.rollback()
    assert actions.finish(bulk_action_id, 2)["done"] == 9
    assert changed_jobs(storage, kind) == jobs


def test_a_job_that_a_client_retries_at_the_same_time_is_retried_once(
    storage: Storage, actions: ActionDriver, client: Client
) -> None:
    (job_id,) = cancelled_jobs(storage, 1)
    bulk_action_id = start_action(actions, ActionKind.RETRY)
    client.begin()
    assert client.retry(job_id).result(10)
    blocked = storage.begin(lambda: actions.run_step(bulk_action_id))
    storage.until_blocked(actions.connection.driver_connection.info.backend_pid)
    client.end()
    step = blocked.result(10)
    assert step is not None and (step.outcome.changed_ids, step.outcome.skip_reasons) == ([], ["moved_on"])
    assert storage.rows("SELECT run FROM live") == [(1,)]


def test_a_step_that_times_out_on_a_locked_row_is_repeated(storage: Storage, actions: ActionDriver) -> None:
    cancelled_jobs(storage, 2)
    bulk_action_id = start_action(actions, ActionKind.RETRY)
    holder = storage.session()
    holder.cursor().execute("SELECT FROM jobs FOR UPDATE")
    with pytest.raises(DatabaseUnavailable) as caught:
        actions.run_step(bulk_action_id, lock_s=0.05)
    assert caught.value.sqlstate == LOCK_NOT_AVAILABLE
    assert storage.value("SELECT count(*) FROM live") == 0
    holder.rollback()
    assert actions.finish(bulk_action_id)["done"] == 2
