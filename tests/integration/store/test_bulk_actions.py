"""Bulk actions: their effect on jobs, and that they change each matching job exactly once."""

from dataclasses import replace

import pytest
from integration.store.support.bulk_actions import (
    ActionDriver,
    changeable_jobs,
    changed_jobs,
    start_action,
    states,
)
from integration.store.support.clients import Client
from integration.store.support.storage import ERROR, Storage, ids

from common import failpoints
from common.domain.bulk_actions import ActionKind, ActionRequest, Phase
from common.domain.decisions import Fail
from common.domain.job import HeldWhile, OnConflict, Options, Unique
from common.domain.states import State

KINDS = [ActionKind.CANCEL, ActionKind.RETRY, ActionKind.REPRIORITISE]


# --- effects


def test_a_bulk_cancel_ends_waiting_jobs_and_asks_running_ones_to_stop(storage: Storage, actions: ActionDriver) -> None:
    claimer = storage.claimer()
    running = storage.submit(3)
    held = claimer.claim()
    retrying, due, later = storage.submit(1), storage.submit(4), storage.submit(1)
    storage.rows(
        "UPDATE live SET claimable_at = clock_timestamp() + interval '1 h' WHERE id = ANY (%s::uuid[])",
        (later + retrying,),
    )
    storage.rows("UPDATE live SET attempt = 1 WHERE id = ANY (%s::uuid[])", (retrying,))
    action = actions.finish(start_action(actions, ActionKind.CANCEL))
    assert (
        action["count"],
        action["count_is_exact"],
        action["matched"],
        action["done"],
        action["cancels_requested"],
    ) == (
        9,
        True,
        9,
        9,
        3,
    )
    assert states(storage, retrying + due + later) == ["CANCELLED"] * 6
    claimer.settle(held)
    assert states(storage, running) == ["CANCELLED"] * 3, "as after a cancel of each"


def test_jobs_submitted_after_the_start_are_not_changed_whatever_the_time_in_their_id(
    storage: Storage, actions: ActionDriver
) -> None:
    matching = storage.submit(2)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    later = storage.store(storage.new(2), storage.new(2, ago_s=30))
    assert actions.finish(bulk_action_id)["done"] == 2
    assert states(storage, matching) == ["CANCELLED"] * 2
    assert states(storage, later) == ["PENDING"] * 4


def test_only_matching_jobs_are_changed(storage: Storage, actions: ActionDriver) -> None:
    others = storage.submit(2, queue="other")
    tagged = storage.store([replace(job, options=Options(tags=("nightly",))) for job in storage.new(3)])
    claimer = storage.claimer()
    running = ids(claimer.claim(1))
    waiting = [job_id for job_id in tagged if job_id not in running]
    action = actions.finish(actions.start(ActionKind.CANCEL, State.PENDING, tag="nightly"))
    assert (action["done"], action["cancels_requested"], action["skipped"]) == (2, 0, {})
    assert states(storage, waiting) == ["CANCELLED"] * 2
    assert states(storage, [*running, *others]) == ["IN_PROGRESS", "PENDING", "PENDING"]


def test_a_bulk_retry_runs_failed_jobs_again_but_not_successful_ones(storage: Storage, actions: ActionDriver) -> None:
    claimer = storage.claimer()
    storage.submit(5)
    jobs = claimer.claim()
    claimer.write(jobs[:3], Fail(ERROR))
    claimer.settle(jobs[3:])
    action = actions.finish(actions.start(ActionKind.RETRY, State.FAILED, error="IT WENT"))
    assert (action["count"], action["done"]) == (3, 3)
    assert storage.rows("SELECT id::text, run, input FROM runs ORDER BY id") == [
        (job.id, 1, None) for job in sorted(jobs[:3], key=lambda job: job.id)
    ]
    assert {(job.id, job.attempt, job.input) for job in claimer.claim()} == {
        (job.id, 1, '{"data":[1,2,3]}') for job in jobs[:3]
    }


def test_a_bulk_retry_skips_jobs_without_input_or_unique_key_and_says_why(
    storage: Storage, actions: ActionDriver, client: Client
) -> None:
    unique = Options(unique=Unique("k", HeldWhile.BOTH, OnConflict.REJECT))
    first, second, free = (
        replace(job, options=options) for job, options in zip(storage.new(3), (unique, unique, None), strict=True)
    )
    claimer = storage.claimer()
    for job in (first, second, free):
        storage.store([job])
        claimer.write(claimer.claim(), Fail(ERROR))
    storage.rows("UPDATE jobs SET input = NULL WHERE id = %s", (str(free.id),))
    action = actions.finish(start_action(actions, ActionKind.RETRY))
    assert (action["done"], action["skipped"]) == (1, {"unique_conflict": 1, "input_removed": 1})
    (live_job,) = storage.rows("SELECT id FROM live")
    assert storage.rows("SELECT id FROM unique_keys") == [live_job]


def test_a_due_job_gets_a_position_above_every_low_water_mark(storage: Storage, actions: ActionDriver) -> None:
    claimer = storage.claimer()
    claimer.claim()  # its marks have passed every due job
    due, later = storage.submit(2, priority=7), storage.submit(1, priority=7)
    storage.age(due, 60)
    storage.rows(
        "UPDATE live SET claimable_at = clock_timestamp() + interval '1 h' WHERE id = ANY (%s::uuid[])", (later,)
    )
    assert claimer.claim() == [], "they are below its marks"
    before = storage.value("SELECT claimable_at FROM live WHERE id = %s", tuple(later))
    assert actions.finish(start_action(actions, ActionKind.REPRIORITISE))["done"] == 3
    assert ids(claimer.claim()) == due
    assert storage.rows("SELECT priority, claimable_at FROM live WHERE id = %s", tuple(later)) == [(2, before)], (
        "a scheduled job keeps its time"
    )


def test_a_job_that_has_the_new_priority_is_skipped(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(1, priority=2)
    before = storage.rows("SELECT * FROM live")
    action = actions.finish(start_action(actions, ActionKind.REPRIORITISE))
    assert (action["done"], action["skipped"]) == (0, {"unchanged": 1})
    assert storage.rows("SELECT * FROM live") == before


# --- exactly once


@pytest.mark.parametrize("kind", KINDS)
def test_a_stopped_action_continues_at_its_position(storage: Storage, actions: ActionDriver, kind: ActionKind) -> None:
    jobs = changeable_jobs(storage, kind, 10)
    bulk_action_id = start_action(actions, kind)
    actions.run_step(bulk_action_id, 4)
    assert actions.request(bulk_action_id, ActionRequest.STOP)["phase"] == "STOPPED"
    assert actions.request(bulk_action_id, ActionRequest.STOP)["phase"] == "STOPPED"
    assert actions.run_step(bulk_action_id, 4) is None
    assert changed_jobs(storage, kind) == jobs[:4]
    actions.request(bulk_action_id, ActionRequest.START)
    action = actions.finish(bulk_action_id, 4)
    assert (action["done"], action["skipped"]) == (10, {})
    assert changed_jobs(storage, kind) == jobs


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_that_rolls_back_is_repeated_and_changes_each_job_once(
    storage: Storage, actions: ActionDriver, kind: ActionKind
) -> None:
    """As if the controller or its connection is killed before the commit."""
    jobs = changeable_jobs(storage, kind, 6)
    bulk_action_id = start_action(actions, kind)
    actions.run_step(bulk_action_id, 2)
    failpoints.arm("bulk_action.before_commit=raise")
    try:
        with pytest.raises(RuntimeError):
            actions.run_step(bulk_action_id, 2)
    finally:
        failpoints.arm("")
    assert changed_jobs(storage, kind) == jobs[:2]
    assert actions.read(bulk_action_id)["matched"] == 2
    assert actions.finish(bulk_action_id, 2)["done"] == 6
    assert changed_jobs(storage, kind) == jobs


def test_a_scan_that_matches_no_job_continues_at_its_position(storage: Storage, actions: ActionDriver) -> None:
    others = storage.submit(30)
    matching = storage.submit(1, queue="other")
    bulk_action_id = actions.start(ActionKind.CANCEL, queue="other")
    for _ in range(3):
        step = actions.run_step(bulk_action_id, 5, max_scanned=10)
        assert step is not None and step.jobs == 0 and step.after is Phase.RUNNING
    assert actions.finish(bulk_action_id)["done"] == 1
    assert states(storage, [*matching, *others]) == ["CANCELLED"] + ["PENDING"] * 30


def test_a_second_controller_skips_an_action_whose_row_is_locked(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(2)
    bulk_action_id = start_action(actions, ActionKind.CANCEL)
    other = storage.session()
    other.cursor().execute("SELECT FROM bulk_actions FOR UPDATE")
    assert actions.run_step(bulk_action_id) is None
    other.rollback()
    assert actions.finish(bulk_action_id)["done"] == 2
