"""The evidence of a good run, and functions that build its calls and variations of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from faults.evidence import Effect, Evidence, JobOptions, Outcome, PastAttempt, Sample, StoredBatch, StoredJob
from faults.history import Answer, Call
from faults.jobs import SentJob
from faults.keys import KeyLife
from faults.limited import PastPause
from faults.schedules import PastFire, PastSchedule

A, B, C, D, E = (f"01a210bb-0000-7000-8000-00000000000{letter}" for letter in "abcde")
BATCH = "01a210bb-0000-7000-8000-000000000000"  # of all these jobs
T0 = datetime(2026, 11, 25, tzinfo=UTC)
SENT = {
    A: SentJob("effect", (0.0, 7.0)),
    B: SentJob("square_sum", (2.0, 3.0)),
    C: SentJob("stumble", (1.0, 20.0)),
    D: SentJob("linger", (1.0, 21.0)),
    E: SentJob("effect", (0.0, 23.0)),
}
RETRY_INPUT = SentJob("stumble", (0.0, 22.0))  # of C


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def read(
    job_id: str, began_s: float, status: str, attempt: int, result: float | None = None, run_number: int = 0
) -> Call:
    response = {
        "status": status,
        "run": run_number,
        "attempt": attempt,
        "result": result,
        "finished_at": str(at(4)) if status == "SUCCESS" else None,
    }
    return Call("read", 2, began_s, began_s + 0.1, Answer.OK, 200, job_ids=(job_id,), response=response)


def cancel(job_id: str, began_s: float, status: str, ended_s: float | None = None) -> Call:
    requested = status == "IN_PROGRESS"
    response = {"job_id": job_id, "status": status, "cancel_requested": requested}
    return Call(
        "cancel",
        3,
        began_s,
        ended_s or began_s + 0.1,
        Answer.OK,
        202 if requested else 200,
        job_ids=(job_id,),
        response=response,
    )


def retry(
    job_id: str, began_s: float, run_number: int | None, retry_input: SentJob | None = None, status: int | None = 202
) -> Call:
    answer, response = (
        (Answer.UNKNOWN, {})
        if run_number is None
        else (Answer.OK, {"job_id": job_id, "status": "PENDING", "run": run_number})
    )
    return Call(
        "retry",
        3,
        began_s,
        began_s + 0.1,
        answer,
        status if run_number is not None else None,
        job_ids=(job_id,),
        response=response,
        retry_input=retry_input,
    )


def wait(
    job_id: str,
    began_s: float,
    ended_s: float,
    status: str = "SUCCESS",
    result: float | None = 7.0,
    *,
    closing: bool = False,
) -> Call:
    response = {"status": status, "result": result, "closing": closing}
    return Call("wait", 3, began_s, ended_s, Answer.OK, 200, job_ids=(job_id,), response=response, wait_s=4.0)


def bulk_action(phase: str, changed_s: float, *job_ids: str, **counts: Any) -> Call:
    response = {
        "bulk_action_id": "a",
        "phase": phase,
        "changed_at": str(at(changed_s)),
        "matched": 1,
        "done": 1,
        "skipped": {},
        "undone": 0,
        "not_undone": {},
    } | counts
    return Call("read_bulk_action", 4, 2.0, 2.1, Answer.OK, 200, job_ids=job_ids, response=response)


def intrusion(status: int, problem: str = "job-not-found", tenant: int = 2) -> Call:
    answer = Answer.OK if status < 400 else Answer.REFUSED
    return Call(
        "intrude", 5, 1.0, 1.1, answer, status, job_ids=(A,), tenant=tenant, problem=f"urn:jobproc:problem:{problem}"
    )


def listing(key: str, began_s: float, status: int, *job_ids: str, tenant: int = 1) -> Call:
    answer = Answer.OK if status < 400 else Answer.REFUSED
    response = {"jobs": [{"job_id": job_id} for job_id in job_ids]}
    return Call("list", 5, began_s, began_s + 0.1, answer, status, response=response, tenant=tenant, key=key)


# Its second and third instant were missed together, and its fifth waits.
SCHEDULE = PastSchedule(
    "s",
    1.0,
    at(0.0),
    at(5.0),
    at(4.0),
    [
        PastFire(at(0.0), None, has_job=True, is_job_stored=True),
        PastFire(at(1.0), at(2.0), has_job=False, is_job_stored=False),
        PastFire(at(3.0), None, has_job=True, is_job_stored=True),
    ],
    2,
)
GOOD = Evidence(
    calls=[
        Call("submit", 1, 0.0, 0.1, Answer.OK, 202, (SENT[A],), (A,)),
        Call("batch", 1, 0.2, 0.3, Answer.OK, 202, (SENT[B],), (B,)),
        Call("submit", 1, 0.4, 0.5, Answer.UNKNOWN, 503, (SentJob("effect", (0.0, 8.0)),)),
        Call("invalid", 1, 0.6, 0.7, Answer.REFUSED, 422, (SentJob("none", (9.0,)),)),
        Call("keyed", 1, 0.8, 0.9, Answer.UNKNOWN, None, (SENT[A],), idempotency_key="k"),
        Call("keyed", 1, 0.8, 0.9, Answer.OK, 200, (SENT[A],), (A,), idempotency_key="k"),
        read(A, 1.0, "IN_PROGRESS", 1),
        read(A, 2.0, "PENDING", 1),
        read(A, 3.0, "SUCCESS", 2, 7.0),
        read(A, 4.0, "SUCCESS", 2, 7.0),
        wait(A, 1.5, 3.5),
        wait(A, 0.0, 4.0, "IN_PROGRESS", None),
        wait(A, 1.6, 2.0, "IN_PROGRESS", None, closing=True),
        cancel(A, 4.5, "SUCCESS"),
        # C is cancelled while it waits for its second attempt, retried with another input, cancelled while it waits,
        # retried by a call without an answer, and succeeds. D runs, and is cancelled.
        Call("batch", 3, 0.0, 0.1, Answer.OK, 202, (SENT[C], SENT[D]), (C, D)),
        cancel(C, 1.0, "CANCELLED"),
        read(C, 1.5, "CANCELLED", 1),
        cancel(C, 1.7, "CANCELLED"),
        retry(C, 2.0, 1, RETRY_INPUT),
        Call("retry", 1, 2.0, 2.3, Answer.REFUSED, 409, job_ids=(C,)),
        read(C, 2.5, "PENDING", 0, run_number=1),
        cancel(C, 3.0, "CANCELLED"),
        retry(C, 4.0, None),
        read(C, 5.0, "SUCCESS", 1, 22.0, run_number=2),
        cancel(D, 1.0, "IN_PROGRESS"),
        read(D, 1.2, "IN_PROGRESS", 1),
        cancel(D, 2.0, "CANCELLED"),
        # E is cancelled by a bulk action while it waits for its third attempt, put back, and succeeds with that.
        Call("batch", 4, 0.0, 0.1, Answer.OK, 202, (SENT[E],), (E,)),
        bulk_action("RUNNING", 1.5, E, matched=0, done=0),
        bulk_action("DONE", 2.0, E),
        Call("undo", 4, 2.1, 2.2, Answer.UNKNOWN, None, job_ids=(E,)),
        bulk_action("UNDONE", 2.5, E, undone=1),
        # One key is valid all the time. Another one was rotated at 5 s and has ended at 8 s.
        intrusion(404),
        listing("valid", 1.0, 200, A),
        listing("rotated", 7.0, 200, A),
        listing("rotated", 9.0, 200, A),
        listing("rotated", 14.0, 401),
    ],
    keys={"valid": KeyLife(1), "rotated": KeyLife(1, 8.0, 8.2, expires_after_s=5.0)},
    fair_wait_s=2.0,
    schedules=[SCHEDULE],
    pauses=[PastPause(1, at(4.3), at(4.9))],
    stored={
        **{job: StoredJob(SENT[job], 20) for job in (A, C, D, E)},
        B: StoredJob(SENT[B], 3),
    },
    outcomes={
        A: [Outcome("SUCCESS", 2, 0, at(3), at(4), 7.0)],
        B: [Outcome("SUCCESS", 1, 0, at(1), at(2), 13.0)],
        C: [
            Outcome("CANCELLED", 1, 0, None, at(1)),
            Outcome("CANCELLED", 0, 0, None, at(3), run_number=1),
            Outcome("SUCCESS", 1, 0, at(4.1), at(4.2), 22.0, run_number=2),
        ],
        D: [Outcome("CANCELLED", 1, 0, at(0.5), at(1.3))],
        E: [Outcome("CANCELLED", 2, 1, None, at(1.8)), Outcome("SUCCESS", 3, 1, at(3), at(4), 23.0, run_number=1)],
    },
    attempts={
        A: [PastAttempt(1, "lost", at(1), at(2), at(2.5))],
        C: [PastAttempt(1, "error", at(0.5), at(0.7), at(9.0))],
        E: [PastAttempt(1, "released", at(0.2), at(0.3), at(0.3)), PastAttempt(2, "error", at(0.5), at(0.7), at(9.0))],
    },
    retry_inputs={C: {1: RETRY_INPUT, 2: None}},
    undo_runs={E: frozenset({1})},
    options={
        A: JobOptions({0: at(2)}, at(0.5), at(3.5), "u", "both"),
        B: JobOptions({0: at(0)}, unique_key="r", unique_while="running", concurrency_key="r"),
        C: JobOptions({0: at(0), 1: at(2), 2: at(4)}),
        D: JobOptions({0: at(0)}, unique_key="u", unique_while="both"),
        E: JobOptions({0: at(0), 1: at(2.1)}, unique_key="r", unique_while="running", concurrency_key="r"),
    },
    batches={BATCH: StoredBatch(True, 5, 0, 1, True, (at(5),))},
    effects=[
        Effect(A, 1, "begin"),
        Effect(A, 2, "begin"),
        Effect(A, 2, "end"),
        Effect(B, 1, "begin", 1.0),
        Effect(B, 1, "end", 2.0),
        Effect(C, 1, "begin"),
        Effect(C, 1, "begin"),
        Effect(C, 1, "end"),
        Effect(D, 1, "begin"),
        Effect(E, 2, "begin"),
        Effect(E, 3, "begin", 3.0),
        Effect(E, 3, "end", 4.0),
    ],
    samples=[
        Sample(0.1, 0.1, frozenset({1})),
        Sample(1.0, 0.0, frozenset({1, 2})),
        Sample(2.0, 9.0, frozenset()),
        Sample(3.0, 10.0, frozenset({1})),
    ],
    wait_limit_s=1.0,
    outages=[(0.0, 1.0)],
    drained_s=3.0,
    drain_limit_s=6.0,
)
OUTCOME_A, ATTEMPT_A = GOOD.outcomes[A][0], GOOD.attempts[A][0]


def with_calls(*more: Call) -> Evidence:
    return replace(GOOD, calls=[*GOOD.calls, *more])


def with_outcome_of_a(**changes: Any) -> Evidence:
    return replace(GOOD, outcomes={**GOOD.outcomes, A: [replace(OUTCOME_A, **changes)]})


def with_attempt_of_a(**changes: Any) -> Evidence:
    return replace(GOOD, attempts={**GOOD.attempts, A: [replace(ATTEMPT_A, **changes)]})


def with_attempts(job_id: str, *attempts: PastAttempt) -> Evidence:
    return replace(GOOD, attempts={**GOOD.attempts, job_id: list(attempts)})


def with_options(job_id: str, **changes: Any) -> Evidence:
    return replace(GOOD, options={**GOOD.options, job_id: replace(GOOD.options[job_id], **changes)})


def with_outcome(job_id: str, changed_run: int, **changes: Any) -> Evidence:
    return replace(
        GOOD,
        outcomes={
            **GOOD.outcomes,
            job_id: [
                replace(outcome, **changes) if outcome.run_number == changed_run else outcome
                for outcome in GOOD.outcomes[job_id]
            ],
        },
    )


def with_effects(*more: Effect) -> Evidence:
    return replace(GOOD, effects=[*GOOD.effects, *more])


def without_faults() -> Evidence:
    stored = {job: row for job, row in GOOD.stored.items() if row.sent.operation != "linger"}
    return replace(
        GOOD, interrupted=False, stored=stored, effects=[effect for effect in GOOD.effects if effect.job in stored]
    )


def with_schedule(**changes: Any) -> Evidence:
    return replace(GOOD, schedules=[replace(SCHEDULE, **changes)])


def with_samples(*times_s: float) -> Evidence:
    return replace(GOOD, samples=[*GOOD.samples, *(Sample(time_s, 7.0 + time_s, frozenset({1})) for time_s in times_s)])


def of_second_tenant(job_id: str, run: Evidence = GOOD) -> Evidence:
    return replace(run, stored={**run.stored, job_id: replace(run.stored[job_id], tenant=2)})


def with_batch(**changes: Any) -> Evidence:
    """Return the good run with changes of its batch."""
    return replace(GOOD, batches={BATCH: replace(GOOD.batches[BATCH], **changes)})
