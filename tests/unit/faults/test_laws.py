"""The checker of `make faults` can fail: a good history holds every law, and each bad one breaks the law that is meant."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from faults.evidence import Chosen, Effect, End, Evidence, Look, Stored, Tried
from faults.history import Answer, Call, Sent
from faults.laws import LAWS, check, report

A, B, C, D, E = (f"01a210bb-0000-7000-8000-00000000000{letter}" for letter in "abcde")
T0 = datetime(2026, 11, 25, tzinfo=UTC)
SENT = {
    A: Sent("effect", (0.0, 7.0)),
    B: Sent("square_sum", (2.0, 3.0)),
    C: Sent("stumble", (1.0, 20.0)),
    D: Sent("linger", (1.0, 21.0)),
    E: Sent("effect", (0.0, 23.0)),
}
AGAIN = Sent("stumble", (0.0, 22.0))  # with which C was retried


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def read(job_id: str, began_s: float, status: str, attempt: int, result: float | None = None, epoch: int = 0) -> Call:
    seen = {"status": status, "epoch": epoch, "attempt": attempt, "result": result, "finished_at": str(at(4)) if status == "SUCCESS" else None}
    return Call("read", 2, began_s, began_s + 0.1, Answer.OK, 200, ids=(job_id,), seen=seen)


def cancel(job_id: str, began_s: float, status: str, ended_s: float | None = None) -> Call:
    asked = status == "IN_PROGRESS"
    seen = {"job_id": job_id, "status": status, "cancel_requested": asked}
    return Call("cancel", 3, began_s, ended_s or began_s + 0.1, Answer.OK, 202 if asked else 200, ids=(job_id,), seen=seen)


def retry(job_id: str, began_s: float, epoch: int | None, again: Sent | None = None, status: int | None = 202) -> Call:
    answer, seen = (Answer.UNKNOWN, {}) if epoch is None else (Answer.OK, {"job_id": job_id, "status": "PENDING", "epoch": epoch})
    return Call("retry", 3, began_s, began_s + 0.1, answer, status if epoch is not None else None, ids=(job_id,), seen=seen, again=again)


def wait(job_id: str, began_s: float, ended_s: float, status: str = "SUCCESS", result: float | None = 7.0, *, closing: bool = False) -> Call:
    seen = {"status": status, "result": result, "closing": closing}
    return Call("wait", 3, began_s, ended_s, Answer.OK, 200, ids=(job_id,), seen=seen, wait_s=4.0)


def acted(phase: str, changed_s: float, *jobs: str, **counts: Any) -> Call:
    seen = {"action_id": "a", "phase": phase, "changed_at": str(at(changed_s)), "matched": 1, "done": 1, "skipped": {}, "undone": 0, "not_undone": {}} | counts
    return Call("acted", 4, 2.0, 2.1, Answer.OK, 200, ids=jobs, seen=seen)


GOOD = Evidence(
    calls=[
        Call("submit", 1, 0.0, 0.1, Answer.OK, 202, (SENT[A],), (A,)),
        Call("batch", 1, 0.2, 0.3, Answer.OK, 202, (SENT[B],), (B,)),
        Call("submit", 1, 0.4, 0.5, Answer.UNKNOWN, 503, (Sent("effect", (0.0, 8.0)),)),
        Call("wrong", 1, 0.6, 0.7, Answer.REFUSED, 422, (Sent("none", (9.0,)),)),
        Call("keyed", 1, 0.8, 0.9, Answer.UNKNOWN, None, (SENT[A],), key="k"),
        Call("keyed", 1, 0.8, 0.9, Answer.OK, 200, (SENT[A],), (A,), key="k"),
        read(A, 1.0, "IN_PROGRESS", 1),
        read(A, 2.0, "PENDING", 1),
        read(A, 3.0, "SUCCESS", 2, 7.0),
        read(A, 4.0, "SUCCESS", 2, 7.0),
        wait(A, 1.5, 3.5),
        wait(A, 0.0, 4.0, "IN_PROGRESS", None),
        wait(A, 1.6, 2.0, "IN_PROGRESS", None, closing=True),
        cancel(A, 4.5, "SUCCESS"),
        # C is cancelled as it waits for its second attempt, retried with another input, cancelled as it waits, retried by a call without
        # an answer, and succeeds. D runs, and is cancelled.
        Call("batch", 3, 0.0, 0.1, Answer.OK, 202, (SENT[C], SENT[D]), (C, D)),
        cancel(C, 1.0, "CANCELLED"),
        read(C, 1.5, "CANCELLED", 1),
        cancel(C, 1.7, "CANCELLED"),
        retry(C, 2.0, 1, AGAIN),
        Call("retry", 1, 2.0, 2.3, Answer.REFUSED, 409, ids=(C,)),
        read(C, 2.5, "PENDING", 0, epoch=1),
        cancel(C, 3.0, "CANCELLED"),
        retry(C, 4.0, None),
        read(C, 5.0, "SUCCESS", 1, 22.0, epoch=2),
        cancel(D, 1.0, "IN_PROGRESS"),
        read(D, 1.2, "IN_PROGRESS", 1),
        cancel(D, 2.0, "CANCELLED"),
        # E is cancelled by an action as it waits for its second attempt, put back, and succeeds with that.
        Call("batch", 4, 0.0, 0.1, Answer.OK, 202, (SENT[E],), (E,)),
        acted("RUNNING", 1.5, E, matched=0, done=0),
        acted("DONE", 2.0, E),
        Call("undo", 4, 2.1, 2.2, Answer.UNKNOWN, None, ids=(E,)),
        acted("UNDONE", 2.5, E, undone=1),
    ],
    stored={A: Stored(SENT[A], 20), B: Stored(SENT[B], 3), C: Stored(SENT[C], 20), D: Stored(SENT[D], 20), E: Stored(SENT[E], 20)},
    ends={
        A: [End("SUCCESS", 2, 0, at(3), at(4), 7.0)],
        B: [End("SUCCESS", 1, 0, at(1), at(2), 13.0)],
        C: [
            End("CANCELLED", 1, 0, None, at(1)),
            End("CANCELLED", 0, 0, None, at(3), epoch=1),
            End("SUCCESS", 1, 0, at(4.1), at(4.2), 22.0, epoch=2),
        ],
        D: [End("CANCELLED", 1, 0, at(0.5), at(1.3))],
        E: [End("CANCELLED", 2, 1, None, at(1.8)), End("SUCCESS", 3, 1, at(3), at(4), 23.0, epoch=1)],
    },
    tried={
        A: [Tried(1, "lost", at(1), at(2), at(2.5))],
        C: [Tried(1, "error", at(0.5), at(0.7), at(9.0))],
        E: [Tried(1, "released", at(0.2), at(0.3), at(0.3)), Tried(2, "error", at(0.5), at(0.7), at(9.0))],
    },
    again={C: {1: AGAIN, 2: None}},
    undone={E: frozenset({1})},
    chosen={A: Chosen({0: at(2)}, at(0.5), at(3.5), "u"), B: Chosen({0: at(0)}, unique_key="u"), C: Chosen({0: at(0), 1: at(2), 2: at(4)})},
    effects=[
        Effect(A, 1, "begin"),
        Effect(A, 2, "begin"),
        Effect(A, 2, "end"),
        Effect(C, 1, "begin"),
        Effect(C, 1, "begin"),
        Effect(C, 1, "end"),
        Effect(D, 1, "begin"),
        Effect(E, 2, "begin"),
        Effect(E, 3, "begin"),
        Effect(E, 3, "end"),
    ],
    looks=[Look(0.1, 0.1, frozenset({1})), Look(1.0, 0.0, frozenset({1, 2})), Look(2.0, 9.0, frozenset()), Look(3.0, 10.0, frozenset({1}))],
    wait_limit_s=1.0,
    away=[(0.0, 1.0)],
    drained_s=3.0,
    drain_limit_s=6.0,
)
END_A, TRIED_A = GOOD.ends[A][0], GOOD.tried[A][0]


def calls(*more: Call) -> Evidence:
    return replace(GOOD, calls=[*GOOD.calls, *more])


def ends(**changes: Any) -> Evidence:
    return replace(GOOD, ends={**GOOD.ends, A: [replace(END_A, **changes)]})


def tried(**changes: Any) -> Evidence:
    return replace(GOOD, tried={**GOOD.tried, A: [replace(TRIED_A, **changes)]})


def tried_of(job_id: str, *attempts: Tried) -> Evidence:
    return replace(GOOD, tried={**GOOD.tried, job_id: list(attempts)})


def chosen(job_id: str, **changes: Any) -> Evidence:
    return replace(GOOD, chosen={**GOOD.chosen, job_id: replace(GOOD.chosen[job_id], **changes)})


def ended_as(job_id: str, of: int, **changes: Any) -> Evidence:
    return replace(GOOD, ends={**GOOD.ends, job_id: [replace(one, **changes) if one.epoch == of else one for one in GOOD.ends[job_id]]})


def effects(*more: Effect, **changes: Any) -> Evidence:
    return replace(GOOD, effects=[*GOOD.effects, *more], **changes)


def calm() -> Evidence:
    others = {job: row for job, row in GOOD.stored.items() if row.sent.operation != "linger"}
    return replace(GOOD, interrupted=False, stored=others, effects=[one for one in GOOD.effects if one.job in others])


def looks(*at_s: float) -> Evidence:
    return replace(GOOD, looks=[*GOOD.looks, *(Look(one, 7.0 + one, frozenset({1})) for one in at_s)])


BAD: list[tuple[str, str, Callable[[], Evidence]]] = [
    ("nothing_is_lost", "an accepted job is not stored", lambda: replace(GOOD, stored={job: GOOD.stored[job] for job in (B, C, D, E)})),
    ("nothing_is_lost", "a retry has not ended", lambda: replace(GOOD, ends={**GOOD.ends, C: GOOD.ends[C][:2]})),
    ("nothing_is_lost", "an epoch has ended twice", lambda: ended_as(C, 1, epoch=0)),
    ("nothing_is_lost", "it is stored with another input", lambda: replace(GOOD, stored={**GOOD.stored, A: Stored(Sent("effect", (1.0, 7.0)), 20)})),
    ("nothing_is_lost", "it has not ended", lambda: replace(GOOD, ends={**GOOD.ends, A: []}, unfinished=frozenset({A}))),
    ("nothing_is_lost", "it has ended twice", lambda: replace(GOOD, ends={**GOOD.ends, A: [END_A, END_A]})),
    ("nothing_is_lost", "it has ended and is still live", lambda: replace(GOOD, unfinished=frozenset({A}))),
    ("nothing_is_invented", "one job is stored twice", lambda: replace(GOOD, stored={**GOOD.stored, "c": Stored(SENT[A], 20)})),
    ("nothing_is_invented", "nobody sent it", lambda: replace(GOOD, stored={**GOOD.stored, "c": Stored(Sent("effect", (0.0, 99.0)), 20)})),
    ("nothing_is_invented", "what was refused is stored", lambda: replace(GOOD, stored={**GOOD.stored, "c": Stored(Sent("none", (9.0,)), 20)})),
    (
        "nothing_is_invented",
        "half of a batch that nobody knows of is stored",
        lambda: calls(Call("batch", 1, 5.0, 5.1, Answer.UNKNOWN, None, (SENT[B], Sent("effect", (0.0, 10.0))))),
    ),
    ("an_accepted_job_can_be_read", "a read does not find it", lambda: calls(Call("read", 2, 5.0, 5.1, Answer.REFUSED, 404, ids=(A,)))),
    ("an_accepted_job_can_be_read", "a cancel does not find it", lambda: calls(Call("cancel", 2, 5.0, 5.1, Answer.REFUSED, 404, ids=(A,)))),
    ("an_accepted_job_can_be_read", "a retry does not find it", lambda: calls(Call("retry", 2, 5.0, 5.1, Answer.REFUSED, 404, ids=(A,)))),
    ("results_are_right", "a wrong result is stored", lambda: ends(result=8.0)),
    ("results_are_right", "a retry has the result of the first input", lambda: ended_as(C, 2, result=20.0)),
    ("results_are_right", "a retry was shown with the result of the first input", lambda: calls(read(C, 6.0, "SUCCESS", 1, 20.0, epoch=2))),
    ("results_are_right", "a wrong result was shown", lambda: calls(read(A, 5.0, "SUCCESS", 2, 8.0))),
    ("results_are_right", "a result without success was shown", lambda: calls(read(B, 0.5, "PENDING", 1, 13.0))),
    ("what_was_seen_stays", "an ended job runs again", lambda: calls(read(A, 5.0, "IN_PROGRESS", 3))),
    ("what_was_seen_stays", "an ended epoch runs again", lambda: calls(read(C, 1.9, "IN_PROGRESS", 2))),
    ("what_was_seen_stays", "epochs fall", lambda: calls(read(C, 6.0, "CANCELLED", 1))),
    ("what_was_seen_stays", "an end is stored in another epoch than it was seen in", lambda: ended_as(C, 0, status="FAILED", error_type="RuntimeError")),
    ("what_was_seen_stays", "attempts fall", lambda: calls(read(A, 2.5, "PENDING", 0))),
    ("what_was_seen_stays", "another end is stored than was seen", lambda: ends(status="FAILED", result=None, error_type="RuntimeError")),
    ("attempts_are_complete", "an attempt left no trace", lambda: replace(GOOD, tried={**GOOD.tried, A: []})),
    ("attempts_are_complete", "one before a cancel left no trace", lambda: replace(GOOD, tried={**GOOD.tried, C: []})),
    ("attempts_are_complete", "a success without an attempt", lambda: ended_as(C, 2, started_at=None)),
    ("attempts_are_complete", "an epoch goes on counting", lambda: ended_as(C, 2, attempt=2)),
    ("attempts_are_complete", "a release is not counted", lambda: tried(ended="released")),
    ("attempts_are_complete", "more are charged than it may have", lambda: replace(GOOD, stored={**GOOD.stored, A: Stored(SENT[A], 1)})),
    ("attempts_are_complete", "it was given up too early", lambda: ends(status="FAILED", result=None, error_type="worker_lost")),
    ("attempts_do_not_overlap", "two attempts ran at once", lambda: tried(ended_at=at(3.5), retry_at=at(3.5))),
    ("attempts_do_not_overlap", "a retry came before its time", lambda: tried(retry_at=at(3.5))),
    ("attempts_do_not_overlap", "an epoch began before the end of the one before", lambda: ended_as(C, 2, started_at=at(2.9))),
    (
        "a_failure_is_of_its_attempt",
        "a worker that had the first attempt has failed the second",
        lambda: replace(GOOD, tried={**GOOD.tried, C: [*GOOD.tried[C], Tried(2, "error", at(0.75), at(0.8), at(9.0))]}),
    ),
    ("effects_are_bounded", "a cancelled job ran", lambda: effects(Effect(C, 2, "begin"))),
    ("effects_are_bounded", "more effects than epochs", lambda: effects(Effect(C, 1, "begin"))),
    ("effects_are_bounded", "an attempt had two effects", lambda: effects(Effect(A, 2, "begin"))),
    ("effects_are_bounded", "an attempt that nobody knows had one", lambda: effects(Effect(A, 3, "begin"))),
    ("effects_are_bounded", "it succeeded without its effect", lambda: replace(GOOD, effects=[one for one in GOOD.effects if one != Effect(A, 2, "end")])),
    ("effects_are_bounded", "it ran twice and there was no fault", calm),
    ("effects_are_bounded", "a job that is not stored had one", lambda: effects(Effect("c", 1, "begin"))),
    ("errors_are_those_of_an_absent_database", "a 500", lambda: calls(Call("read", 2, 0.5, 0.6, Answer.UNKNOWN, 500, ids=(A,)))),
    ("errors_are_those_of_an_absent_database", "a 503 while it was there", lambda: calls(Call("read", 2, 5.0, 5.1, Answer.UNKNOWN, 503, ids=(A,)))),
    ("a_key_stores_once", "another job of the key", lambda: calls(Call("keyed", 1, 5.0, 5.1, Answer.OK, 200, (SENT[B],), (B,), key="k"))),
    (
        "nothing_is_invented",
        "what a key was promised is not there",
        lambda: calls(Call("keyed", 1, 5.0, 5.1, Answer.OK, 202, (Sent("effect", (0.0, 30.0)),), ("x",), key="l")),
    ),
    ("a_unique_key_is_held_by_one", "two at once", lambda: chosen(B, came_at={0: at(3.9)})),
    ("times_are_kept", "it began too early", lambda: chosen(A, run_at=at(1.5))),
    ("times_are_kept", "it began after its deadline", lambda: chosen(A, deadline=at(2.5))),
    ("times_are_kept", "it ended for a deadline before it", lambda: ends(status="FAILED", result=None, error_type="deadline_exceeded", finished_at=at(3.2))),
    ("times_are_kept", "it ended for a deadline that it has not", lambda: ended_as(B, 0, status="FAILED", result=None, error_type="deadline_exceeded")),
    ("no_due_job_waits_beside_an_idle_worker", "it waited", lambda: looks(3.5, 4.5)),
    ("an_accepted_job_can_be_read", "a wait does not find it", lambda: calls(Call("wait", 2, 5.0, 5.1, Answer.REFUSED, 404, ids=(A,), wait_s=1.0))),
    ("a_wait_is_told", "it ended before its time and before its job", lambda: calls(wait(A, 1.5, 2.0, "IN_PROGRESS", None))),
    ("a_wait_is_told", "it lasted on after the end", lambda: calls(wait(A, 1.5, 5.4))),
    ("a_wait_is_told", "its time was up long after the end", lambda: calls(wait(A, 2.0, 6.0, "IN_PROGRESS", None))),
    ("a_wait_is_told", "it was answered with another result", lambda: calls(wait(A, 1.5, 3.5, "SUCCESS", 8.0))),
    ("a_cancel_holds", "it succeeds although it was cancelled", lambda: ended_as(D, 0, status="SUCCESS", result=21.0)),
    ("a_cancel_holds", "it fails although it was cancelled", lambda: ended_as(D, 0, status="FAILED", error_type="RuntimeError")),
    ("a_cancel_holds", "it never ends", lambda: replace(GOOD, ends={**GOOD.ends, D: []})),
    ("a_cancel_holds", "it was another epoch that ended so", lambda: calls(retry(C, 6.0, 2), cancel(C, 7.0, "CANCELLED"))),
    ("a_cancel_holds", "it had not ended before", lambda: calls(cancel(D, 0.5, "SUCCESS"))),
    ("a_cancel_holds", "a cancelled job has a result", lambda: ended_as(D, 0, result=21.0)),
    ("a_cancel_holds", "a cancelled job has an error", lambda: ended_as(D, 0, error_type="RuntimeError")),
    ("a_cancel_holds", "it is seen to run after it was cancelled", lambda: calls(read(C, 1.95, "IN_PROGRESS", 2))),
    ("a_retry_is_an_epoch", "a promised epoch is not there", lambda: calls(retry(D, 3.0, 1))),
    ("a_retry_is_an_epoch", "it has another input", lambda: replace(GOOD, again={C: {1: SENT[C], 2: None}})),
    ("a_retry_is_an_epoch", "two were promised the same", lambda: calls(retry(C, 2.0, 1, AGAIN))),
    ("a_retry_is_an_epoch", "nobody asked for it", lambda: replace(GOOD, again={**GOOD.again, D: {1: None}})),
    ("a_retry_is_an_epoch", "one call that nobody knows of made two", lambda: replace(GOOD, again={C: {1: AGAIN, 2: None, 3: None}})),
    ("a_retry_is_an_epoch", "what had succeeded runs again", lambda: ended_as(C, 1, status="SUCCESS", result=22.0)),
    ("nothing_is_lost", "what was put back has not ended", lambda: replace(GOOD, ends={**GOOD.ends, E: GOOD.ends[E][:1]})),
    ("attempts_are_complete", "what was put back counts anew", lambda: ended_as(E, 1, attempt=1, released=0)),
    ("attempts_are_complete", "what was put back has lost its releases", lambda: ended_as(E, 1, released=0)),
    ("an_action_has_its_way", "a job begins after it was done", lambda: tried_of(E, GOOD.tried[E][0], replace(GOOD.tried[E][1], started_at=at(2.3)))),
    ("an_action_has_its_way", "it has cancelled fewer than it says", lambda: ended_as(E, 0, status="FAILED", error_type="RuntimeError")),
    ("an_action_has_its_way", "its counts do not add up", lambda: calls(acted("DONE", 2.0, E, skipped={"moved_on": 1}))),
    ("an_action_has_its_way", "its undo has put back fewer than it says", lambda: replace(GOOD, undone={})),
    ("an_action_has_its_way", "its undo has forgotten some", lambda: calls(acted("UNDONE", 2.5, E, matched=2, done=2, undone=1))),
    ("an_action_has_its_way", "nobody asked for the undo", lambda: replace(GOOD, calls=[one for one in GOOD.calls if one.what != "undo"])),
    ("an_action_has_its_way", "it has put back what ran", lambda: ended_as(E, 0, started_at=at(1.0))),
    ("everything_is_drained", "it took too long", lambda: replace(GOOD, drained_s=7.0)),
]


def test_a_good_history_holds_every_law() -> None:
    verdicts = check(GOOD)
    assert {name: verdict.broken for name, verdict in verdicts.items() if verdict.broken} == {}
    assert all(verdict.judged for verdict in verdicts.values()), "each has something to judge"


def test_a_process_that_was_busy_in_between_has_not_been_idle_all_the_while() -> None:
    idle = [Look(3.0 + n * 0.5, 10.0 + n * 0.5, frozenset({n % 2})) for n in range(20)]
    assert not check(replace(GOOD, looks=idle))["no_due_job_waits_beside_an_idle_worker"].broken


@pytest.mark.parametrize(("law", "make"), [(law, make) for law, _, make in BAD], ids=[f"{law}: {what}" for law, what, _ in BAD])
def test_a_bad_history_breaks_the_law_that_is_meant(law: str, make: Callable[[], Evidence]) -> None:
    verdicts = check(make())
    assert verdicts[law].broken
    assert "BROKEN" in report(verdicts)


def test_every_law_has_a_history_that_breaks_it() -> None:
    assert {law for law, _, _ in BAD} == {law.__name__ for law in LAWS}


def test_a_law_without_facts_has_proven_nothing() -> None:
    assert report(check(Evidence(), [law for law in LAWS if law.__name__ == "nothing_is_lost"])).startswith("  VOID")
