"""Actions: each job that matched has its turn once, whatever happens beside it; undo gives back what was."""

from dataclasses import replace

import psycopg2.errors
import pytest
from integration.store.support.bulk_actions import Acting, begin, cancelled, changed, matching, states
from integration.store.support.clients import Client
from integration.store.support.storage import ERROR, Storage, ids, retry_after

from common import failpoints
from common.domain.bulk_actions import ActionKind, Phase, Verb
from common.domain.decisions import Fail
from common.domain.errors import ActionNotFound, WrongPhase
from common.domain.job import HeldWhile, OnConflict, Options, Unique
from common.domain.states import State
from common.store.bulk_actions import steps

KINDS = [ActionKind.CANCEL, ActionKind.RETRY, ActionKind.REPRIORITISE]


# --- what is done


def test_what_waits_ends_and_what_runs_is_asked_to_stop(storage: Storage, acting: Acting) -> None:
    claimer = storage.claimer()
    running = storage.submit(3)
    held = claimer.claim()
    retrying, due, later = storage.submit(1), storage.submit(4), storage.submit(1)
    storage.rows("UPDATE live SET pos = clock_timestamp() + interval '1 h' WHERE id = ANY (%s::uuid[])", (later + retrying,))
    storage.rows("UPDATE live SET attempt = 1 WHERE id = ANY (%s::uuid[])", (retrying,))
    found = acting.finish(begin(acting, ActionKind.CANCEL))
    assert (found["count"], found["exact"], found["matched"], found["done"], found["asked"]) == (9, True, 9, 9, 3)
    assert states(storage, retrying + due + later) == ["CANCELLED"] * 6
    claimer.settle(held)
    assert states(storage, running) == ["CANCELLED"] * 3, "as after a cancel of each"


def test_jobs_that_came_after_it_are_not_touched_whatever_the_time_in_their_id(storage: Storage, acting: Acting) -> None:
    mine = storage.submit(2)
    action_id = begin(acting, ActionKind.CANCEL)
    later = storage.store(storage.new(2), storage.new(2, ago_s=30))
    assert acting.finish(action_id)["done"] == 2
    assert states(storage, mine) == ["CANCELLED"] * 2
    assert states(storage, later) == ["PENDING"] * 4


def test_only_what_fits_is_touched(storage: Storage, acting: Acting) -> None:
    others = storage.submit(2, queue="other")
    tagged = storage.store([replace(job, options=Options(tags=("nightly",))) for job in storage.new(3)])
    claimer = storage.claimer()
    running = ids(claimer.claim(1))
    waiting = [one for one in tagged if one not in running]
    found = acting.finish(acting.begun(ActionKind.CANCEL, State.PENDING, tag="nightly"))
    assert (found["done"], found["asked"], found["skipped"]) == (2, 0, {})
    assert states(storage, waiting) == ["CANCELLED"] * 2
    assert states(storage, [*running, *others]) == ["IN_PROGRESS", "PENDING", "PENDING"]


def test_what_failed_runs_again_but_not_what_succeeded(storage: Storage, acting: Acting) -> None:
    claimer = storage.claimer()
    storage.submit(5)
    jobs = claimer.claim()
    claimer.write(jobs[:3], Fail(ERROR))
    claimer.settle(jobs[3:])
    found = acting.finish(acting.begun(ActionKind.RETRY, State.FAILED, error="IT WENT"))
    assert (found["count"], found["done"]) == (3, 3)
    assert storage.rows("SELECT id::text, epoch, input FROM reruns ORDER BY id") == [(job.id, 1, None) for job in sorted(jobs[:3], key=lambda job: job.id)]
    assert {(job.id, job.attempt, job.input) for job in claimer.claim()} == {(job.id, 1, '{"data":[1,2,3]}') for job in jobs[:3]}


def test_a_retry_without_its_input_or_its_key_is_left_out_and_says_why(storage: Storage, acting: Acting, client: Client) -> None:
    unique = Options(unique=Unique("k", HeldWhile.BOTH, OnConflict.REJECT))
    first, second, free = (replace(job, options=one) for job, one in zip(storage.new(3), (unique, unique, None), strict=True))
    claimer = storage.claimer()
    for job in (first, second, free):
        storage.store([job])
        claimer.write(claimer.claim(), Fail(ERROR))
    storage.rows("UPDATE jobs SET input = NULL WHERE id = %s", (str(free.id),))
    found = acting.finish(begin(acting, ActionKind.RETRY))
    assert (found["done"], found["skipped"]) == (1, {"unique_conflict": 1, "input_removed": 1})
    (holder,) = storage.rows("SELECT id FROM live")
    assert storage.rows("SELECT id FROM uniq") == [holder]


def test_what_is_due_gets_a_place_that_nobody_has_looked_past(storage: Storage, acting: Acting) -> None:
    claimer = storage.claimer()
    claimer.claim()  # its marks have passed all that is due
    due, later = storage.submit(2, priority=7), storage.submit(1, priority=7)
    storage.age(due, 60)
    storage.rows("UPDATE live SET pos = clock_timestamp() + interval '1 h' WHERE id = ANY (%s::uuid[])", (later,))
    assert claimer.claim() == [], "they lie below its marks"
    before = storage.one("SELECT pos FROM live WHERE id = %s", tuple(later))
    assert acting.finish(begin(acting, ActionKind.REPRIORITISE))["done"] == 3
    assert ids(claimer.claim()) == due
    assert storage.rows("SELECT priority, pos FROM live WHERE id = %s", tuple(later)) == [(2, before)], "what waits for a time waits for it still"


def test_a_priority_that_a_job_has_already_changes_nothing(storage: Storage, acting: Acting) -> None:
    storage.submit(1, priority=2)
    before = storage.rows("SELECT * FROM live")
    found = acting.finish(begin(acting, ActionKind.REPRIORITISE))
    assert (found["done"], found["skipped"]) == (0, {"unchanged": 1})
    assert storage.rows("SELECT * FROM live") == before


# --- each once


@pytest.mark.parametrize("kind", KINDS)
def test_a_stop_and_a_start_go_on_where_it_was(storage: Storage, acting: Acting, kind: ActionKind) -> None:
    jobs = matching(storage, kind, 10)
    action_id = begin(acting, kind)
    acting.turn(action_id, 4)
    assert acting.ask(action_id, Verb.STOP)["phase"] == "STOPPED"
    assert acting.ask(action_id, Verb.STOP)["phase"] == "STOPPED"
    assert acting.turn(action_id, 4) is None
    assert changed(storage, kind) == jobs[:4]
    acting.ask(action_id, Verb.START)
    found = acting.finish(action_id, 4)
    assert (found["done"], found["skipped"]) == (10, {})
    assert changed(storage, kind) == jobs


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_that_is_broken_off_is_taken_again_and_no_job_has_two(storage: Storage, acting: Acting, kind: ActionKind) -> None:
    """As when its controller is killed before the commit, or its connection."""
    jobs = matching(storage, kind, 6)
    action_id = begin(acting, kind)
    acting.turn(action_id, 2)
    failpoints.arm("action.before_commit=raise")
    try:
        with pytest.raises(RuntimeError):
            acting.turn(action_id, 2)
    finally:
        failpoints.arm("")
    assert changed(storage, kind) == jobs[:2]
    assert acting.look(action_id)["matched"] == 2
    assert acting.finish(action_id, 2)["done"] == 6
    assert changed(storage, kind) == jobs


def test_a_walk_that_finds_little_goes_on_from_where_it_looked(storage: Storage, acting: Acting) -> None:
    others = storage.submit(30)
    mine = storage.submit(1, queue="other")
    action_id = acting.begun(ActionKind.CANCEL, queue="other")
    for _ in range(3):
        turn = acting.turn(action_id, 5, scanned=10)
        assert turn is not None and turn.jobs == 0 and turn.after is Phase.RUNNING
    assert acting.finish(action_id)["done"] == 1
    assert states(storage, [*mine, *others]) == ["CANCELLED"] + ["PENDING"] * 30


def test_two_controllers_at_once_do_not_wait_for_each_other(storage: Storage, acting: Acting) -> None:
    storage.submit(2)
    action_id = begin(acting, ActionKind.CANCEL)
    other = storage.session()
    other.cursor().execute("SELECT FROM actions FOR UPDATE")
    assert acting.turn(action_id) is None
    other.rollback()
    assert acting.finish(action_id)["done"] == 2


# --- beside others


def test_a_job_whose_row_another_one_has_is_passed_by_and_comes_later_as_it_is_then(storage: Storage, acting: Acting) -> None:
    """The claim has its row and has not committed: nobody waits, nothing is left out."""
    taken, free = storage.submit(1), storage.submit(1)
    only_waiting, all_ = acting.begun(ActionKind.CANCEL, State.PENDING), begin(acting, ActionKind.CANCEL)
    claimer = storage.claimer()
    with claimer.connection.transaction():
        (job,) = claimer.claim(1)
        for _ in range(2):
            turn = acting.turn(only_waiting)
            assert turn is not None and turn.after is Phase.RUNNING and turn.changed.passed_ids == taken
    assert states(storage, free) == ["CANCELLED"]
    found = acting.finish(only_waiting)
    assert (found["done"], found["skipped"]) == (1, {"moved_on": 1})
    assert storage.rows("SELECT cancel FROM live") == [(False,)]
    assert acting.finish(all_)["asked"] == 1
    claimer.write([job], retry_after(0))
    assert storage.rows("SELECT status, attempt FROM outcomes WHERE id = %s", tuple(taken)) == [("CANCELLED", 1)]


def test_a_job_that_ends_meanwhile_has_that_end(storage: Storage, acting: Acting) -> None:
    claimer = storage.claimer()
    (job_id,) = storage.submit(1)
    jobs = claimer.claim()
    action_id = begin(acting, ActionKind.CANCEL)
    with claimer.connection.transaction():
        claimer.settle(jobs)
        acting.turn(action_id)
    found = acting.finish(action_id)
    assert (found["done"], found["skipped"]) == (0, {"moved_on": 1})
    assert storage.state(job_id) == "SUCCESS"


@pytest.mark.parametrize("kind", [ActionKind.CANCEL, ActionKind.REPRIORITISE])
def test_more_rows_than_a_turn_takes_may_be_had_by_others(storage: Storage, acting: Acting, kind: ActionKind) -> None:
    jobs = storage.submit(9)
    action_id, holder = begin(acting, kind), storage.session()
    holder.cursor().execute("SELECT FROM live ORDER BY id LIMIT 5 FOR UPDATE")
    for most in (9, 3, 4):
        turn = acting.turn(action_id, most)
        assert turn is not None and sorted(turn.changed.passed_ids) == jobs[:5]
    holder.rollback()
    assert acting.finish(action_id, 2)["done"] == 9
    assert changed(storage, kind) == jobs


def test_a_job_that_a_client_retries_meanwhile_is_retried_once(storage: Storage, acting: Acting, client: Client) -> None:
    (job_id,) = cancelled(storage, 1)
    action_id = begin(acting, ActionKind.RETRY)
    client.begin()
    assert client.rerun(job_id).result(10)
    waits = storage.begin(lambda: acting.turn(action_id))
    storage.until_blocked(acting.connection.driver_connection.info.backend_pid)
    client.end()
    turn = waits.result(10)
    assert turn is not None and (turn.changed.changed_ids, turn.changed.skip_reasons) == ([], ["moved_on"])
    assert storage.rows("SELECT epoch FROM live") == [(1,)]


def test_a_row_of_jobs_that_another_one_holds_for_long_is_tried_again_later(storage: Storage, acting: Acting) -> None:
    cancelled(storage, 2)
    action_id = begin(acting, ActionKind.RETRY)
    holder = storage.session()
    holder.cursor().execute("SELECT FROM jobs FOR UPDATE")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        acting.turn(action_id, lock_s=0.05)
    assert storage.one("SELECT count(*) FROM live") == 0
    holder.rollback()
    assert acting.finish(action_id)["done"] == 2


# --- previews and phases


def test_a_preview_counts_exactly_as_far_as_it_looks_and_estimates_beyond(storage: Storage, acting: Acting) -> None:
    storage.fill(500, queue="other")
    storage.fill(1_500)
    storage.rows("ANALYZE live")
    whole = acting.new(ActionKind.CANCEL, queue="other")
    assert (whole["count"], whole["exact"]) == (500, True)
    assert [one["job_id"] for one in whole["sample"]] == [row[0] for row in storage.rows("SELECT id::text FROM live ORDER BY id LIMIT 10")]
    assert {(one["status"], one["operation"]) for one in whole["sample"]} == {("PENDING", "square_sum")}
    part = acting.new(ActionKind.CANCEL, most=1_000)
    assert not part["exact"] and 1_500 < part["count"] < 2_500
    assert storage.one("SELECT count(*) FROM live") == 2_000, "nothing is changed before it is started"


def test_an_estimate_is_never_less_than_what_was_found(storage: Storage, acting: Acting) -> None:
    storage.rows("ANALYZE tags")
    storage.store([replace(job, options=Options(tags=("t",))) for job in storage.new(50)])
    found = acting.new(ActionKind.CANCEL, most=20, tag="t")
    assert not found["exact"] and found["count"] >= 20


def test_what_cannot_be_asked_in_a_phase_changes_nothing(storage: Storage, acting: Acting) -> None:
    storage.submit(1)
    action_id = str(acting.new(ActionKind.CANCEL)["id"])
    for verb in (Verb.STOP, Verb.UNDO):
        with pytest.raises(WrongPhase, match="PREVIEW"):
            acting.ask(action_id, verb)
    assert acting.turn(action_id) is None
    acting.ask(action_id, Verb.START)
    acting.finish(action_id)
    with pytest.raises(WrongPhase, match="DONE"):
        acting.ask(action_id, Verb.START)


def test_a_refused_turn_stops_its_action_which_says_why_and_can_go_on(storage: Storage, acting: Acting) -> None:
    storage.submit(1)
    action_id = begin(acting, ActionKind.CANCEL)
    steps.fail(acting.connection, action_id, "no such column")
    found = acting.look(action_id)
    assert (found["phase"], found["error"]) == ("STOPPED", "no such column")
    assert acting.ask(action_id, Verb.START)["error"] is None
    assert acting.finish(action_id)["done"] == 1


def test_what_is_over_expires_and_goes_with_what_it_did(storage: Storage, acting: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "MOST_FORGOTTEN", 2)
    storage.submit(5)
    preview = acting.new(ActionKind.REPRIORITISE, priority=1)
    done = begin(acting, ActionKind.CANCEL)
    acting.finish(done)
    running = begin(acting, ActionKind.CANCEL)
    assert steps.expire(acting.connection, 60, 60) == 0
    storage.rows("UPDATE actions SET changed_at = clock_timestamp() - interval '2 min'")
    assert steps.expire(acting.connection, 300, 300) == 0
    assert steps.expire(acting.connection, 60, 300) == 1, "the preview"
    while steps.expire(acting.connection, 60, 60):
        pass
    assert storage.one("SELECT count(*) FROM action_jobs") == 0
    assert acting.look(running)["phase"] == "RUNNING"
    for action_id in (str(preview["id"]), done):
        with pytest.raises(ActionNotFound):
            acting.look(action_id)
