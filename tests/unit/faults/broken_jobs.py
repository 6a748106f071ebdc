"""Evidence that breaks the laws of jobs, attempts and effects."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from faults.evidence import Effect, Evidence, Outcome, PastAttempt, StoredJob
from faults.history import Answer, Call
from faults.jobs import SentJob
from faults.workflows import StoredNode
from unit.faults.good_run import (
    GOOD,
    OUTCOME_A,
    SCHEDULE,
    SENT,
    A,
    B,
    C,
    D,
    E,
    at,
    read,
    with_attempt_of_a,
    with_batch,
    with_calls,
    with_effects,
    with_outcome,
    with_outcome_of_a,
    with_schedule,
    without_faults,
)


def with_node(parent: str, policy: str, **changes: Any) -> Evidence:
    """Return a run in which B waits for another job, the outcome of which has ended at another time."""
    (outcome,) = GOOD.outcomes[parent]
    if changes:
        outcome = replace(outcome, finished_at=changes["ended_at"])
    outcomes = {**GOOD.outcomes, parent: [outcome]}
    return replace(GOOD, nodes={B: StoredNode((parent,), policy)}, outcomes=outcomes)


def fallen_without_a_cause() -> Evidence:
    fallen = Outcome("FAILED", 0, 0, None, at(5), error_type="parent_failed")
    return replace(GOOD, nodes={B: StoredNode((A,), "fail")}, outcomes={**GOOD.outcomes, B: [fallen]})


#: The law that breaks, the reason and the evidence.
BROKEN_JOBS: list[tuple[str, str, Callable[[], Evidence]]] = [
    ("a_batch_ends_once", "a batch has not ended", lambda: with_batch(has_ended=False)),
    ("a_batch_ends_once", "a batch counts a job too many", lambda: with_batch(jobs=6)),
    ("a_batch_ends_once", "a cancelled job counts as failed", lambda: with_batch(failed=1, cancelled=0)),
    ("a_batch_ends_once", "a follow-up is stored twice", lambda: with_batch(follow_ups=(at(5), at(6)))),
    ("a_batch_ends_once", "a follow-up is not stored", lambda: with_batch(follow_ups=())),
    ("a_batch_ends_once", "a follow-up is stored too early", lambda: with_batch(follow_ups=(at(3),))),
    ("a_job_runs_after_its_parents", "a job began before its parent ended", lambda: with_node(D, "run")),
    ("a_job_runs_after_its_parents", "a job ran on a failed parent", lambda: with_node(D, "fail", ended_at=at(0.9))),
    ("a_job_runs_after_its_parents", "a job fell although its parent succeeded", fallen_without_a_cause),
    (
        "nothing_is_lost",
        "an accepted job is not stored",
        lambda: replace(GOOD, stored={job: GOOD.stored[job] for job in (B, C, D, E)}),
    ),
    (
        "nothing_is_lost",
        "a retry has not ended",
        lambda: replace(GOOD, outcomes={**GOOD.outcomes, C: GOOD.outcomes[C][:2]}),
    ),
    ("nothing_is_lost", "a run has ended twice", lambda: with_outcome(C, 1, run_number=0)),
    (
        "nothing_is_lost",
        "a job is stored with another input",
        lambda: replace(GOOD, stored={**GOOD.stored, A: StoredJob(SentJob("effect", (1.0, 7.0)), 20)}),
    ),
    (
        "nothing_is_lost",
        "a job has not ended",
        lambda: replace(GOOD, outcomes={**GOOD.outcomes, A: []}, unfinished=frozenset({A})),
    ),
    (
        "nothing_is_lost",
        "a job has ended twice",
        lambda: replace(GOOD, outcomes={**GOOD.outcomes, A: [OUTCOME_A, OUTCOME_A]}),
    ),
    ("nothing_is_lost", "an ended job is still live", lambda: replace(GOOD, unfinished=frozenset({A}))),
    (
        "nothing_is_lost",
        "a job that was put back has not ended",
        lambda: replace(GOOD, outcomes={**GOOD.outcomes, E: GOOD.outcomes[E][:1]}),
    ),
    (
        "nothing_is_invented",
        "a job is stored twice",
        lambda: replace(GOOD, stored={**GOOD.stored, "c": StoredJob(SENT[A], 20)}),
    ),
    (
        "nothing_is_invented",
        "a stored job was not sent",
        lambda: replace(GOOD, stored={**GOOD.stored, "c": StoredJob(SentJob("effect", (0.0, 99.0)), 20)}),
    ),
    (
        "nothing_is_invented",
        "a refused job is stored",
        lambda: replace(GOOD, stored={**GOOD.stored, "c": StoredJob(SentJob("none", (9.0,)), 20)}),
    ),
    (
        "nothing_is_invented",
        "half of an unanswered batch is stored",
        lambda: with_calls(Call("batch", 1, 5.0, 5.1, Answer.UNKNOWN, None, (SENT[B], SentJob("effect", (0.0, 10.0))))),
    ),
    (
        "nothing_is_invented",
        "the accepted job of a key is not stored",
        lambda: with_calls(
            Call("keyed", 1, 5.0, 5.1, Answer.OK, 202, (SentJob("effect", (0.0, 30.0)),), ("x",), idempotency_key="l")
        ),
    ),
    (
        "an_accepted_job_can_be_read",
        "a read does not find its job",
        lambda: with_calls(Call("read", 2, 5.0, 5.1, Answer.REFUSED, 404, job_ids=(A,))),
    ),
    (
        "an_accepted_job_can_be_read",
        "a cancel does not find its job",
        lambda: with_calls(Call("cancel", 2, 5.0, 5.1, Answer.REFUSED, 404, job_ids=(A,))),
    ),
    (
        "an_accepted_job_can_be_read",
        "a retry does not find its job",
        lambda: with_calls(Call("retry", 2, 5.0, 5.1, Answer.REFUSED, 404, job_ids=(A,))),
    ),
    (
        "an_accepted_job_can_be_read",
        "a wait does not find its job",
        lambda: with_calls(Call("wait", 2, 5.0, 5.1, Answer.REFUSED, 404, job_ids=(A,), wait_s=1.0)),
    ),
    ("results_are_right", "a wrong result is stored", lambda: with_outcome_of_a(result=8.0)),
    ("results_are_right", "a retry has the result of the first input", lambda: with_outcome(C, 2, result=20.0)),
    (
        "results_are_right",
        "a retry was shown with the result of the first input",
        lambda: with_calls(read(C, 6.0, "SUCCESS", 1, 20.0, run_number=2)),
    ),
    ("results_are_right", "a wrong result was shown", lambda: with_calls(read(A, 5.0, "SUCCESS", 2, 8.0))),
    ("results_are_right", "a result without success was shown", lambda: with_calls(read(B, 0.5, "PENDING", 1, 13.0))),
    ("what_was_seen_stays", "an ended job runs again", lambda: with_calls(read(A, 5.0, "IN_PROGRESS", 3))),
    ("what_was_seen_stays", "a job runs again in an ended run", lambda: with_calls(read(C, 1.9, "IN_PROGRESS", 2))),
    ("what_was_seen_stays", "run numbers decrease", lambda: with_calls(read(C, 6.0, "CANCELLED", 1))),
    (
        "what_was_seen_stays",
        "an outcome is stored in another run than it was seen in",
        lambda: with_outcome(C, 0, status="FAILED", error_type="RuntimeError"),
    ),
    ("what_was_seen_stays", "attempt numbers decrease", lambda: with_calls(read(A, 2.5, "PENDING", 0))),
    (
        "what_was_seen_stays",
        "another outcome is stored than was seen",
        lambda: with_outcome_of_a(status="FAILED", result=None, error_type="RuntimeError"),
    ),
    ("attempts_are_complete", "an attempt is not stored", lambda: replace(GOOD, attempts={**GOOD.attempts, A: []})),
    (
        "attempts_are_complete",
        "an attempt before a cancel is not stored",
        lambda: replace(GOOD, attempts={**GOOD.attempts, C: []}),
    ),
    ("attempts_are_complete", "a success without an attempt", lambda: with_outcome(C, 2, started_at=None)),
    ("attempts_are_complete", "a manual retry continues the attempt numbers", lambda: with_outcome(C, 2, attempt=2)),
    ("attempts_are_complete", "a release is not counted", lambda: with_attempt_of_a(outcome="released")),
    (
        "attempts_are_complete",
        "more attempts are charged than allowed",
        lambda: replace(GOOD, stored={**GOOD.stored, A: StoredJob(SENT[A], 1)}),
    ),
    (
        "attempts_are_complete",
        "a job failed before its attempts were used up",
        lambda: with_outcome_of_a(status="FAILED", result=None, error_type="worker_lost"),
    ),
    (
        "attempts_are_complete",
        "a job that was put back counts its attempts anew",
        lambda: with_outcome(E, 1, attempt=1, released=0),
    ),
    ("attempts_are_complete", "a job that was put back has lost its releases", lambda: with_outcome(E, 1, released=0)),
    (
        "attempts_do_not_overlap",
        "two attempts ran at once",
        lambda: with_attempt_of_a(finished_at=at(3.5), retry_at=at(3.5)),
    ),
    ("attempts_do_not_overlap", "a retry began before its pause was over", lambda: with_attempt_of_a(retry_at=at(3.5))),
    (
        "attempts_do_not_overlap",
        "a run began before the end of the previous one",
        lambda: with_outcome(C, 2, started_at=at(2.9)),
    ),
    (
        "a_failure_is_of_its_attempt",
        "the worker of the first attempt has failed the second",
        lambda: replace(
            GOOD,
            attempts={**GOOD.attempts, C: [*GOOD.attempts[C], PastAttempt(2, "error", at(0.75), at(0.8), at(9.0))]},
        ),
    ),
    ("effects_are_bounded", "a cancelled job had an effect", lambda: with_effects(Effect(C, 2, "begin"))),
    ("effects_are_bounded", "a job had more effects than runs", lambda: with_effects(Effect(C, 1, "begin"))),
    ("effects_are_bounded", "an attempt had two effects", lambda: with_effects(Effect(A, 2, "begin"))),
    ("effects_are_bounded", "an attempt that is not stored had an effect", lambda: with_effects(Effect(A, 3, "begin"))),
    (
        "effects_are_bounded",
        "a success has no effect",
        lambda: replace(GOOD, effects=[effect for effect in GOOD.effects if effect != Effect(A, 2, "end")]),
    ),
    ("effects_are_bounded", "a job had two effects without a fault", without_faults),
    ("effects_are_bounded", "a job that is not stored had an effect", lambda: with_effects(Effect("c", 1, "begin"))),
    ("a_schedule_fires_each_instant_once", "an instant is left out", lambda: with_schedule(fires=SCHEDULE.fires[1:])),
    (
        "a_schedule_fires_each_instant_once",
        "an instant is decided twice",
        lambda: with_schedule(fires=[*SCHEDULE.fires, SCHEDULE.fires[2]]),
    ),
    ("a_schedule_fires_each_instant_once", "a job is submitted twice", lambda: with_schedule(jobs=3)),
    (
        "a_schedule_fires_each_instant_once",
        "a job is missing",
        lambda: with_schedule(fires=[replace(SCHEDULE.fires[0], is_job_stored=False), *SCHEDULE.fires[1:]]),
    ),
    ("each_end_is_told_of_once", "an end is told of twice", lambda: replace(GOOD, told={("a", 0): 2})),
    ("each_end_is_told_of_once", "an end is not told of", lambda: replace(GOOD, told={("a", 0): 0})),
    ("each_end_is_told_of_once", "no end is told of", lambda: replace(GOOD, untold=1)),
    ("each_end_is_told_of_once", "a batch is not told of", lambda: replace(GOOD, told_of_batches={"b": 0})),
]
