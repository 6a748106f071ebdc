"""The checker of `make faults` can fail: a good history holds every law, and each bad one breaks the law that is meant."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from faults.evidence import Effect, End, Evidence, Look, Stored, Tried
from faults.history import Answer, Call, Sent
from faults.laws import LAWS, check, report

A, B = "01a210bb-0000-7000-8000-00000000000a", "01a210bb-0000-7000-8000-00000000000b"
T0 = datetime(2026, 11, 25, tzinfo=UTC)
SENT = {A: Sent("effect", (0.0, 7.0)), B: Sent("square_sum", (2.0, 3.0))}


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def read(job_id: str, began_s: float, status: str, attempt: int, result: float | None = None) -> Call:
    ended = str(at(4)) if status == "SUCCESS" else None
    return Call(
        "read", 2, began_s, began_s + 0.1, Answer.OK, 200, ids=(job_id,), seen={"status": status, "attempt": attempt, "result": result, "finished_at": ended}
    )


def wait(job_id: str, began_s: float, ended_s: float, status: str = "SUCCESS", result: float | None = 7.0, *, closing: bool = False) -> Call:
    seen = {"status": status, "result": result, "closing": closing}
    return Call("wait", 3, began_s, ended_s, Answer.OK, 200, ids=(job_id,), seen=seen, wait_s=4.0)


GOOD = Evidence(
    calls=[
        Call("submit", 1, 0.0, 0.1, Answer.OK, 202, (SENT[A],), (A,)),
        Call("batch", 1, 0.2, 0.3, Answer.OK, 202, (SENT[B],), (B,)),
        Call("submit", 1, 0.4, 0.5, Answer.UNKNOWN, 503, (Sent("effect", (0.0, 8.0)),)),
        Call("wrong", 1, 0.6, 0.7, Answer.REFUSED, 422, (Sent("none", (9.0,)),)),
        read(A, 1.0, "IN_PROGRESS", 1),
        read(A, 2.0, "PENDING", 1),
        read(A, 3.0, "SUCCESS", 2, 7.0),
        read(A, 4.0, "SUCCESS", 2, 7.0),
        wait(A, 1.5, 3.5),
        wait(A, 0.0, 4.0, "IN_PROGRESS", None),
        wait(A, 1.6, 2.0, "IN_PROGRESS", None, closing=True),
    ],
    stored={A: Stored(SENT[A], 20), B: Stored(SENT[B], 3)},
    ends={A: [End("SUCCESS", 2, 0, at(3), at(4), 7.0)], B: [End("SUCCESS", 1, 0, at(1), at(2), 13.0)]},
    tried={A: [Tried(1, "lost", at(1), at(2), at(2.5))]},
    effects=[Effect(A, 1, "begin"), Effect(A, 2, "begin"), Effect(A, 2, "end")],
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
    return replace(GOOD, tried={A: [replace(TRIED_A, **changes)]})


def effects(*more: Effect, **changes: Any) -> Evidence:
    return replace(GOOD, effects=[*GOOD.effects, *more], **changes)


def looks(*at_s: float) -> Evidence:
    return replace(GOOD, looks=[*GOOD.looks, *(Look(one, 7.0 + one, frozenset({1})) for one in at_s)])


BAD: list[tuple[str, str, Callable[[], Evidence]]] = [
    ("nothing_is_lost", "an accepted job is not stored", lambda: replace(GOOD, stored={B: GOOD.stored[B]})),
    ("nothing_is_lost", "it is stored with another input", lambda: replace(GOOD, stored={**GOOD.stored, A: Stored(Sent("effect", (1.0, 7.0)), 20)})),
    ("nothing_is_lost", "it has not ended", lambda: replace(GOOD, ends={B: GOOD.ends[B]}, unfinished=frozenset({A}))),
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
    ("results_are_right", "a wrong result is stored", lambda: ends(result=8.0)),
    ("results_are_right", "a wrong result was shown", lambda: calls(read(A, 5.0, "SUCCESS", 2, 8.0))),
    ("results_are_right", "a result without success was shown", lambda: calls(read(B, 0.5, "PENDING", 1, 13.0))),
    ("what_was_seen_stays", "an ended job runs again", lambda: calls(read(A, 5.0, "IN_PROGRESS", 3))),
    ("what_was_seen_stays", "attempts fall", lambda: calls(read(A, 2.5, "PENDING", 0))),
    ("what_was_seen_stays", "another end is stored than was seen", lambda: ends(status="FAILED", result=None, error_type="RuntimeError")),
    ("attempts_are_complete", "an attempt left no trace", lambda: replace(GOOD, tried={})),
    ("attempts_are_complete", "a release is not counted", lambda: tried(ended="released")),
    ("attempts_are_complete", "more are charged than it may have", lambda: replace(GOOD, stored={**GOOD.stored, A: Stored(SENT[A], 1)})),
    ("attempts_are_complete", "it was given up too early", lambda: ends(status="FAILED", result=None, error_type="worker_lost")),
    ("attempts_do_not_overlap", "two attempts ran at once", lambda: tried(ended_at=at(3.5), retry_at=at(3.5))),
    ("attempts_do_not_overlap", "a retry came before its time", lambda: tried(retry_at=at(3.5))),
    ("effects_are_bounded", "an attempt had two effects", lambda: effects(Effect(A, 2, "begin"))),
    ("effects_are_bounded", "an attempt that nobody knows had one", lambda: effects(Effect(A, 3, "begin"))),
    ("effects_are_bounded", "it succeeded without its effect", lambda: replace(GOOD, effects=GOOD.effects[:2])),
    ("effects_are_bounded", "it ran twice and there was no fault", lambda: effects(interrupted=False)),
    ("effects_are_bounded", "a job that is not stored had one", lambda: effects(Effect("c", 1, "begin"))),
    ("errors_are_those_of_an_absent_database", "a 500", lambda: calls(Call("read", 2, 0.5, 0.6, Answer.UNKNOWN, 500, ids=(A,)))),
    ("errors_are_those_of_an_absent_database", "a 503 while it was there", lambda: calls(Call("read", 2, 5.0, 5.1, Answer.UNKNOWN, 503, ids=(A,)))),
    ("no_due_job_waits_beside_an_idle_worker", "it waited", lambda: looks(3.5, 4.5)),
    ("an_accepted_job_can_be_read", "a wait does not find it", lambda: calls(Call("wait", 2, 5.0, 5.1, Answer.REFUSED, 404, ids=(A,), wait_s=1.0))),
    ("a_wait_is_told", "it ended before its time and before its job", lambda: calls(wait(A, 1.5, 2.0, "IN_PROGRESS", None))),
    ("a_wait_is_told", "it lasted on after the end", lambda: calls(wait(A, 1.5, 5.4))),
    ("a_wait_is_told", "its time was up long after the end", lambda: calls(wait(A, 2.0, 6.0, "IN_PROGRESS", None))),
    ("a_wait_is_told", "it was answered with another result", lambda: calls(wait(A, 1.5, 3.5, "SUCCESS", 8.0))),
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
