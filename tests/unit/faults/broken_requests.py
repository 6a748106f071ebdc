"""Evidence that breaks the laws of the service, its options, long polls, cancels, retries and bulk actions."""

from collections.abc import Callable
from dataclasses import replace

from faults.evidence import Evidence
from faults.history import Answer, Call
from faults.limited import PastPause
from unit.faults.good_run import (
    GOOD,
    RETRY_INPUT,
    SENT,
    A,
    B,
    C,
    D,
    E,
    at,
    bulk_action,
    cancel,
    intrusion,
    listing,
    of_second_tenant,
    read,
    retry,
    wait,
    with_attempts,
    with_calls,
    with_options,
    with_outcome,
    with_outcome_of_a,
    with_samples,
)

#: The law that breaks, the reason and the evidence.
BROKEN_REQUESTS: list[tuple[str, str, Callable[[], Evidence]]] = [
    (
        "errors_are_those_of_an_absent_database",
        "a 500",
        lambda: with_calls(Call("read", 2, 0.5, 0.6, Answer.UNKNOWN, 500, job_ids=(A,))),
    ),
    (
        "errors_are_those_of_an_absent_database",
        "a 503 while PostgreSQL was available",
        lambda: with_calls(Call("read", 2, 5.0, 5.1, Answer.UNKNOWN, 503, job_ids=(A,))),
    ),
    (
        "no_due_job_waits_beside_an_idle_worker",
        "a due job waited beside an idle worker",
        lambda: with_samples(3.5, 4.5),
    ),
    ("everything_is_drained", "draining took too long", lambda: replace(GOOD, drained_s=7.0)),
    (
        "a_long_poll_is_answered",
        "a wait ended before its time and before its job",
        lambda: with_calls(wait(A, 1.5, 2.0, "IN_PROGRESS", None)),
    ),
    ("a_long_poll_is_answered", "a wait lasted after the end of its job", lambda: with_calls(wait(A, 1.5, 5.4))),
    (
        "a_long_poll_is_answered",
        "a wait timed out long after the end of its job",
        lambda: with_calls(wait(A, 2.0, 6.0, "IN_PROGRESS", None)),
    ),
    (
        "a_long_poll_is_answered",
        "a wait was answered with another result",
        lambda: with_calls(wait(A, 1.5, 3.5, "SUCCESS", 8.0)),
    ),
    (
        "a_cancel_holds",
        "a job succeeds although it was cancelled",
        lambda: with_outcome(D, 0, status="SUCCESS", result=21.0),
    ),
    (
        "a_cancel_holds",
        "a job fails although it was cancelled",
        lambda: with_outcome(D, 0, status="FAILED", error_type="RuntimeError"),
    ),
    ("a_cancel_holds", "a cancelled job never ends", lambda: replace(GOOD, outcomes={**GOOD.outcomes, D: []})),
    (
        "a_cancel_holds",
        "the cancelled run did not end so, another one did",
        lambda: with_calls(retry(C, 6.0, 2), cancel(C, 7.0, "CANCELLED")),
    ),
    (
        "a_cancel_holds",
        "a job had not ended before its cancel as the answer says",
        lambda: with_calls(cancel(D, 0.5, "SUCCESS")),
    ),
    ("a_cancel_holds", "a cancelled job has a result", lambda: with_outcome(D, 0, result=21.0)),
    ("a_cancel_holds", "a cancelled job has an error", lambda: with_outcome(D, 0, error_type="RuntimeError")),
    (
        "a_cancel_holds",
        "a job is seen running after it was cancelled",
        lambda: with_calls(read(C, 1.95, "IN_PROGRESS", 2)),
    ),
    ("a_manual_retry_is_one_more_run", "an acknowledged run is not stored", lambda: with_calls(retry(D, 3.0, 1))),
    (
        "a_manual_retry_is_one_more_run",
        "a retry is stored with another input",
        lambda: replace(GOOD, retry_inputs={C: {1: SENT[C], 2: None}}),
    ),
    (
        "a_manual_retry_is_one_more_run",
        "two retries were acknowledged with one run",
        lambda: with_calls(retry(C, 2.0, 1, RETRY_INPUT)),
    ),
    (
        "a_manual_retry_is_one_more_run",
        "a run was not asked for",
        lambda: replace(GOOD, retry_inputs={**GOOD.retry_inputs, D: {1: None}}),
    ),
    (
        "a_manual_retry_is_one_more_run",
        "one unanswered retry made two runs",
        lambda: replace(GOOD, retry_inputs={C: {1: RETRY_INPUT, 2: None, 3: None}}),
    ),
    (
        "a_manual_retry_is_one_more_run",
        "a success was retried",
        lambda: with_outcome(C, 1, status="SUCCESS", result=22.0),
    ),
    (
        "a_key_stores_once",
        "a second job was stored under a key",
        lambda: with_calls(Call("keyed", 1, 5.0, 5.1, Answer.OK, 200, (SENT[B],), (B,), idempotency_key="k")),
    ),
    (
        "a_unique_key_is_held_by_one",
        "two jobs hold a unique key at once",
        lambda: with_options(D, created_at={0: at(3.9)}),
    ),
    (
        "jobs_of_a_running_key_take_turns",
        "a job begins before the running one with its key has ended",
        lambda: replace(GOOD, effects=[replace(line, at_s=1.9) if line.at_s == 3.0 else line for line in GOOD.effects]),
    ),
    (
        "jobs_of_a_limited_key_take_turns",
        "a job begins before the running one with its key has ended",
        lambda: replace(GOOD, effects=[replace(line, at_s=1.9) if line.at_s == 3.0 else line for line in GOOD.effects]),
    ),
    (
        "a_paused_queue_starts_nothing",
        "an attempt starts during a pause",
        lambda: replace(GOOD, pauses=[PastPause(1, at(2.9), at(3.1))]),
    ),
    ("times_are_kept", "a job began before its time", lambda: with_options(A, run_at=at(1.5))),
    ("times_are_kept", "a job began after its deadline", lambda: with_options(A, deadline=at(2.5))),
    (
        "times_are_kept",
        "a job ended for its deadline before it",
        lambda: with_outcome_of_a(status="FAILED", result=None, error_type="deadline_exceeded", finished_at=at(3.2)),
    ),
    (
        "times_are_kept",
        "a job without a deadline ended for one",
        lambda: with_outcome(B, 0, status="FAILED", result=None, error_type="deadline_exceeded"),
    ),
    (
        "a_bulk_action_is_complete",
        "a job begins after the bulk action was done",
        lambda: with_attempts(E, GOOD.attempts[E][0], replace(GOOD.attempts[E][1], started_at=at(2.3))),
    ),
    (
        "a_bulk_action_is_complete",
        "fewer jobs are cancelled than counted",
        lambda: with_outcome(E, 0, status="FAILED", error_type="RuntimeError"),
    ),
    (
        "a_bulk_action_is_complete",
        "the counts do not add up",
        lambda: with_calls(bulk_action("DONE", 2.0, E, skipped={"moved_on": 1})),
    ),
    ("a_bulk_action_is_complete", "fewer jobs are put back than counted", lambda: replace(GOOD, undo_runs={})),
    (
        "a_bulk_action_is_complete",
        "the undo has left some jobs out",
        lambda: with_calls(bulk_action("UNDONE", 2.5, E, matched=2, done=2, undone=1)),
    ),
    (
        "a_bulk_action_is_complete",
        "an undo was not asked for",
        lambda: replace(GOOD, calls=[call for call in GOOD.calls if call.action != "undo"]),
    ),
    ("a_bulk_action_is_complete", "a job that had run is put back", lambda: with_outcome(E, 0, started_at=at(1.0))),
    ("tenants_are_kept_apart", "another's job is found", lambda: with_calls(intrusion(200))),
    ("tenants_are_kept_apart", "another's job is known", lambda: with_calls(intrusion(409, "not-retryable"))),
    ("tenants_are_kept_apart", "another's job is listed", lambda: with_calls(listing("", 1.0, 200, A, tenant=2))),
    ("tenants_are_kept_apart", "a job is stored for another tenant", lambda: of_second_tenant(A)),
    ("a_valid_key_is_accepted", "a valid key is refused", lambda: with_calls(listing("valid", 1.0, 401))),
    ("a_valid_key_is_accepted", "a rotated key is refused early", lambda: with_calls(listing("rotated", 7.0, 401))),
    ("an_ended_key_is_refused", "a key goes on after its end", lambda: with_calls(listing("rotated", 14.0, 200))),
    (
        "a_flood_delays_nobody_else",
        "the only job of a tenant waits",
        lambda: of_second_tenant(D, with_outcome(D, 0, started_at=at(2.1))),
    ),
]
