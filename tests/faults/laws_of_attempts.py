"""The laws of attempts and of their effects."""

from collections import Counter, defaultdict
from datetime import datetime

from faults.evidence import Evidence
from faults.verdict import Verdict

#: Operations that write to the effects ledger.
WRITING = frozenset({"effect", "stumble", "fall", "swell", "linger", "await_effect", "await_falter"})
#: Operations that may end their process, and with it the jobs of its batch that are not settled yet.
CRASHING = frozenset({"fall", "linger"})
FAILING_AT_FIRST = frozenset({"stumble", "await_falter"})  # data[0]: the number of attempts that raise


def attempts_are_complete(run: Evidence, verdict: Verdict) -> None:
    """The attempts of a run are 1 to n without a gap, or continue where an undo put the job back.

    No more are charged than allowed, and no job fails before its attempts are used up. The last attempt ended the run,
    unless the job was cancelled between two.
    """
    for job_id, outcomes in run.outcomes.items():
        for outcome in outcomes:
            past = run.past_attempts(job_id, outcome.run_number)
            numbers = [attempt.attempt for attempt in past] + [outcome.attempt] * (outcome.started_at is not None)
            undone = run.undone_outcome(job_id, outcome.run_number)
            first, released = (0, 0) if undone is None else (undone.attempt, undone.released)
            verdict.expect(
                numbers == list(range(first + 1, outcome.attempt + 1)),
                f"{job_id} ended in attempt {outcome.attempt} after {numbers}",
            )
            verdict.expect(
                outcome.started_at is not None or outcome.status != "SUCCESS", f"{job_id} succeeded without an attempt"
            )
            released += sum(attempt.outcome == "released" for attempt in past)
            verdict.expect(outcome.released == released, f"{job_id} counts {outcome.released} releases of {released}")
            if job_id in run.stored:
                charged, allowed = outcome.attempt - outcome.released, run.stored[job_id].max_attempts
                verdict.expect(charged <= allowed, f"{job_id} was charged {charged} attempts of {allowed}")
                retried = outcome.error_type in {"worker_lost", "timeout"}
                verdict.expect(
                    outcome.status != "FAILED" or not retried or charged == allowed,
                    f"{job_id} failed as {outcome.error_type} after {charged} of {allowed} attempts",
                )


def attempts_do_not_overlap(run: Evidence, verdict: Verdict) -> None:
    """By the database's clock, no attempt begins before the previous one has ended and its pause is over."""
    for job_id, outcomes in run.outcomes.items():
        until: datetime | None = None
        for outcome in outcomes:
            past = [
                (attempt.attempt, attempt.started_at, max(attempt.finished_at, attempt.retry_at))
                for attempt in run.past_attempts(job_id, outcome.run_number)
            ]
            previous_run = until  # a manual retry does not wait for a clock that was set back
            for attempt, began, ended in [*past, (outcome.attempt, outcome.started_at, outcome.finished_at)]:
                if until is not None and began is not None:
                    verdict.expect(
                        run.in_order(until, began) if until is previous_run else until <= began,
                        f"{job_id}: attempt {attempt} of run {outcome.run_number} began at {began},"
                        f" the previous one lasted until {until}",
                    )
                until = ended


def a_failure_is_of_its_attempt(run: Evidence, verdict: Verdict) -> None:
    """An error that an operation raises only in its first attempts is not recorded for a later attempt.

    Otherwise a worker that had an earlier attempt has settled the later one.
    """
    for job_id, row in run.stored.items():
        if row.sent.operation not in FAILING_AT_FIRST:
            continue
        for attempt in run.past_attempts(job_id, 0):
            raises = attempt.attempt <= row.sent.data[0]
            verdict.expect(
                raises or attempt.outcome != "error",
                f"{job_id} raises in its first {row.sent.data[0]:g} attempts, and failed in attempt {attempt.attempt}",
            )


def effects_are_bounded(run: Evidence, verdict: Verdict) -> None:
    """An attempt has at most one effect. A success has the effect of its attempt, without a fault exactly one.

    The ledger knows no runs: attempts with one number may have as many effects as there were such attempts.
    """
    begun, ended = _effects(run, "begin"), _effects(run, "end")
    calm = not run.interrupted and all(row.sent.operation not in CRASHING for row in run.stored.values())
    for job_id, row in run.stored.items():
        if row.sent.operation not in WRITING:
            continue
        counts, outcomes = begun[job_id], run.outcomes.get(job_id, ())
        attempts = Counter(
            [attempt.attempt for attempt in run.attempts.get(job_id, ())]
            + [outcome.attempt for outcome in outcomes if outcome.started_at is not None]
        )
        verdict.expect(
            counts <= attempts,
            f"{job_id} had its effect {dict(counts)} times, by attempt, and ran {dict(attempts)} times",
        )
        for outcome in outcomes:
            verdict.expect(
                outcome.status != "SUCCESS" or outcome.attempt in ended[job_id],
                f"{job_id} succeeded in attempt {outcome.attempt} with effects of {sorted(ended[job_id])}",
            )
        statuses = [outcome.status for outcome in outcomes]
        plain = row.sent.operation in {"effect", "await_effect"} and statuses == ["SUCCESS"]
        verdict.expect(
            not calm or not plain or sum(counts.values()) == 1,
            f"{job_id} had {sum(counts.values())} effects and no fault",
        )
    for job_id in begun:
        verdict.expect(job_id in run.stored, f"{job_id} had an effect and is not stored")


def _effects(run: Evidence, phase: str) -> dict[str, Counter[int]]:
    counts: dict[str, Counter[int]] = defaultdict(Counter)
    for effect in run.effects:
        if effect.phase == phase:
            counts[effect.job][effect.attempt] += 1
    return counts
