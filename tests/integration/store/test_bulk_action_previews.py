"""Bulk actions: what a preview shows, an action that stops after the first jobs, and what became of changed jobs."""

from dataclasses import replace

import pytest
from integration.store.support.bulk_actions import LIMITS, ActionDriver, cancelled_jobs, changeable_jobs, states
from integration.store.support.storage import Storage

from common.domain.bulk_actions import ActionKind, ActionRequest, Phase, StopReason, stop_reason
from common.domain.states import State

START, STOP, UNDO = ActionRequest.START, ActionRequest.STOP, ActionRequest.UNDO


def sampled(jobs: list[dict[str, str]]) -> list[str]:
    return [job["job_id"] for job in jobs]


def hold_key(storage: Storage, job_id: str, key: str = "report") -> None:
    storage.rows("UPDATE jobs SET unique_key = %s, unique_while = 'both' WHERE id = %s", (key, job_id))


def test_a_preview_has_the_oldest_and_newest_jobs_and_some_at_random(storage: Storage, actions: ActionDriver) -> None:
    ids = storage.submit(300)
    preview = actions.preview(ActionKind.CANCEL, queue="default")
    details = preview["preview"]
    assert sampled(preview["sample"]) == ids[:10]
    assert sampled(details["newest"]) == ids[:-11:-1]
    assert len(set(sampled(details["random"])) & set(ids)) == 10
    others = [sampled(actions.preview(ActionKind.CANCEL, queue="default")["preview"]["random"]) for _ in range(3)]
    assert any(other != sampled(details["random"]) for other in others)
    assert (details["would_skip"], details["would_skip_is_exact"]) == ({}, True)


def test_the_newest_jobs_are_found_beyond_the_scan_limit(storage: Storage, actions: ActionDriver) -> None:
    ids = storage.submit(300)
    preview = actions.preview(ActionKind.CANCEL, limits=replace(LIMITS, scanned=100), queue="default")
    assert not preview["count_is_exact"]
    assert sampled(preview["sample"]) == ids[:10]
    assert sampled(preview["preview"]["newest"]) == ids[:-11:-1]
    assert set(sampled(preview["preview"]["random"])) <= set(ids[:100]), "among the scanned ones"
    assert not preview["preview"]["would_skip_is_exact"]


def test_a_preview_of_a_retry_tells_which_jobs_have_no_input_or_no_unique_key(
    storage: Storage, actions: ActionDriver
) -> None:
    removed, held, first, second, *_ = cancelled_jobs(storage, 10)
    (holder,) = storage.submit(1)
    storage.rows("UPDATE jobs SET input = NULL WHERE id = %s", (removed,))
    for job_id, key in ((held, "held"), (holder, "held"), (first, "shared"), (second, "shared")):
        hold_key(storage, job_id, key)
    storage.rows("INSERT INTO unique_keys (tenant, key, id) VALUES (1, 'held', %s), (1, 'shared', %s)", (holder, first))
    preview = actions.preview(ActionKind.RETRY, State.CANCELLED)
    assert preview["preview"]["would_skip"] == {"input_removed": 1, "unique_conflict": 2}
    assert preview["preview"]["would_skip_is_exact"]
    actions.request(str(preview["id"]), START, preview["count"])
    assert actions.finish(str(preview["id"]))["skipped"] == preview["preview"]["would_skip"], "so it comes"


def test_a_preview_of_a_reprioritise_tells_which_jobs_have_the_priority(
    storage: Storage, actions: ActionDriver
) -> None:
    storage.submit(3, priority=1)
    storage.submit(4)
    preview = actions.preview(ActionKind.REPRIORITISE, priority=1, queue="default")
    assert (preview["preview"]["would_skip"], preview["preview"]["would_skip_is_exact"]) == ({"unchanged": 3}, True)


@pytest.mark.parametrize("kind", ActionKind)
def test_an_action_stops_by_itself_after_the_first_jobs_and_goes_on(
    storage: Storage, actions: ActionDriver, kind: ActionKind
) -> None:
    changeable_jobs(storage, kind, 25)
    priority = 1 if kind is ActionKind.REPRIORITISE else None
    preview = actions.preview(kind, priority=priority, queue="default")
    action_id = str(preview["id"])
    assert actions.request(action_id, START, first=10)["first"] == 10
    while actions.run_step(action_id, 4) is not None:
        pass
    stopped = actions.read(action_id)
    assert (stopped["phase"], stopped["done"], stopped["started_by"]) == ("STOPPED", 10, "key:tester")
    assert storage.value("SELECT count(*) FROM bulk_action_jobs WHERE bulk_action = %s", (action_id,)) == 10
    repeated = actions.request(action_id, START, first=10)
    assert (repeated["phase"], repeated["changed_at"]) == ("STOPPED", stopped["changed_at"]), "a repeat changes no job"
    actions.request(action_id, START, first=12)
    while actions.run_step(action_id) is not None:
        pass
    assert (actions.read(action_id)["phase"], actions.read(action_id)["done"]) == ("STOPPED", 12)
    assert actions.request(action_id, START)["first"] is None
    done = actions.finish(action_id)
    assert (done["phase"], done["done"]) == ("DONE", 25)


def test_the_first_jobs_are_changed_ones_also_if_others_are_skipped_or_locked(
    storage: Storage, actions: ActionDriver
) -> None:
    ids = storage.submit(12)
    storage.rows("UPDATE live SET priority = 1 WHERE id = ANY (%s::uuid[])", (ids[:5],))
    action_id = str(actions.preview(ActionKind.REPRIORITISE, priority=1, queue="default")["id"])
    actions.request(action_id, START, first=3)
    session = storage.session()
    session.cursor().execute("SELECT FROM live WHERE id = %s FOR UPDATE", (ids[6],))
    for _ in range(6):
        actions.run_step(action_id)
    assert (actions.read(action_id)["phase"], actions.read(action_id)["done"]) == ("RUNNING", 2)
    session.rollback()
    actions.run_step(action_id)
    action = actions.read(action_id)
    assert (action["phase"], action["done"], action["skipped"]) == ("STOPPED", 3, {"unchanged": 5})
    actions.request(action_id, START)
    assert actions.finish(action_id)["done"] == 7


def test_the_first_jobs_may_be_all_and_the_action_is_done(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(3)
    action_id = str(actions.preview(ActionKind.CANCEL, queue="default")["id"])
    actions.request(action_id, START, first=3)
    assert actions.run_step(action_id) is not None
    assert actions.read(action_id)["done"] == 3
    if actions.read(action_id)["phase"] == "STOPPED":  # the step had no room to see that there is no other job
        actions.request(action_id, START)
    assert actions.finish(action_id)["done"] == 3


def test_a_limit_may_be_set_and_lifted_while_the_action_runs(storage: Storage, actions: ActionDriver) -> None:
    storage.submit(20)
    action_id = str(actions.preview(ActionKind.CANCEL, queue="default")["id"])
    actions.request(action_id, START)
    actions.run_step(action_id, 5)
    assert actions.request(action_id, START, first=5)["phase"] == "STOPPED", "it has changed five"
    actions.request(action_id, START, first=9)
    assert actions.request(action_id, STOP)["first"] == 9
    assert actions.request(action_id, UNDO)["first"] is None


@pytest.mark.parametrize(
    ("phase", "first", "done", "error", "reason"),
    [
        ("STOPPED", 10, 10, None, StopReason.FIRST),
        ("STOPPED", 10, 9, None, StopReason.REQUEST),
        ("STOPPED", None, 9, None, StopReason.REQUEST),
        ("STOPPED", 10, 10, "no space", StopReason.ERROR),
        ("RUNNING", 10, 9, None, None),
        ("DONE", 10, 10, None, None),
    ],
)
def test_the_reason_of_a_stop(
    phase: str, first: int | None, done: int, error: str | None, reason: StopReason | None
) -> None:
    assert stop_reason(Phase(phase), first=first, done=done, error=error) is reason


def test_outcomes_of_a_cancel_tell_what_its_undo_does(storage: Storage, actions: ActionDriver) -> None:
    ids = storage.submit(6)
    claimer = storage.claimer()
    running = claimer.claim(1)[0].id
    waiting = [job_id for job_id in ids if job_id != running]
    hold_key(storage, waiting[3], "held")
    action_id = actions.start(ActionKind.CANCEL, queue="default")
    actions.finish(action_id)
    (holder,) = storage.submit(1)
    hold_key(storage, holder, "held")
    storage.rows("INSERT INTO unique_keys (tenant, key, id) VALUES (1, 'held', %s)", (holder,))
    storage.rows("UPDATE jobs SET input = NULL WHERE id = %s", (waiting[0],))
    found = actions.outcomes(action_id)
    assert (found.changed, found.counted, found.is_complete) == (6, 6, True)
    assert found.states == {"CANCELLED": 5, "IN_PROGRESS": 1}
    assert found.not_undoable == {"was_running": 1, "input_removed": 1, "unique_conflict": 1}
    assert found.undoable == 3
    undone = actions.undo(action_id)
    assert (undone["undone"], undone["not_undone"]) == (found.undoable, found.not_undoable), "so it comes"
    after = actions.outcomes(action_id)
    assert (after.changed, after.counted, after.undoable, after.states) == (0, 0, 0, {})


def test_outcomes_of_a_retry_and_of_a_reprioritise_tell_what_the_undo_does(
    storage: Storage, actions: ActionDriver
) -> None:
    cancelled_jobs(storage, 5)
    retry = actions.start(ActionKind.RETRY, State.CANCELLED)
    actions.finish(retry)
    claimer = storage.claimer()
    claimer.settle(claimer.claim(2))
    found = actions.outcomes(retry)
    assert (found.states, found.undoable, found.not_undoable) == (
        {"SUCCESS": 2, "PENDING": 3},
        3,
        {"moved_on": 2},
    )
    reprioritise = actions.start(ActionKind.REPRIORITISE, priority=1, queue="default")
    actions.finish(reprioritise)
    claimer.claim(1)
    found = actions.outcomes(reprioritise)
    assert (found.states, found.undoable, found.not_undoable) == (
        {"IN_PROGRESS": 1, "PENDING": 2},
        2,
        {"moved_on": 1},
    )
    undone = actions.undo(reprioritise)
    assert (undone["undone"], undone["not_undone"]) == (2, {"moved_on": 1})
    undone = actions.undo(retry)
    assert (undone["undone"], undone["not_undone"]) == (2, {"moved_on": 3})


def test_outcomes_are_of_the_oldest_jobs_beyond_the_limit(storage: Storage, actions: ActionDriver) -> None:
    ids = storage.submit(8)
    action_id = actions.start(ActionKind.CANCEL, queue="default")
    actions.finish(action_id)
    storage.rows("DELETE FROM outcomes WHERE id = %s; DELETE FROM jobs WHERE id = %s", (ids[0], ids[0]))
    found = actions.outcomes(action_id, limit=5)
    assert (found.changed, found.counted, found.is_complete) == (8, 5, False)
    assert (found.states, found.not_undoable) == ({"CANCELLED": 4}, {"removed": 1})
    assert states(storage, ids[1:2]) == ["CANCELLED"]
