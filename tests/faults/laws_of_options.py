"""The laws of keys and of times that clients set."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

from faults.evidence import Evidence
from faults.history import Answer
from faults.verdict import Verdict

LATE = "deadline_exceeded"


def a_key_stores_once(run: Evidence, verdict: Verdict) -> None:
    """All answered requests under one idempotency key were answered with the same job."""
    answered: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for call in run.calls:
        if call.idempotency_key is not None and call.answer is Answer.OK:
            answered[call.idempotency_key].add(call.job_ids)
    for key, job_ids in answered.items():
        verdict.expect(len(job_ids) == 1, f"the key {key} was answered with {sorted(job_ids)}")


def a_unique_key_is_held_by_one(run: Evidence, verdict: Verdict) -> None:
    """Of two jobs with one unique key, each run of the later one was created after the earlier one had ended."""
    holders: dict[str, list[tuple[datetime, datetime, str]]] = defaultdict(list)
    for job_id, options in run.options.items():
        for outcome in run.outcomes.get(job_id, ()) if options.unique_while == "both" else ():
            created_at = options.created_at[outcome.run_number]
            holders[str(options.unique_key)].append(
                (created_at, outcome.finished_at, f"{job_id} in run {outcome.run_number}")
            )
    for key, spans in holders.items():
        known = sorted(span for span in spans if run.clock_was_right(span[0]) and run.clock_was_right(span[1]))
        for (_, until, holder), (since, _, next_holder) in pairwise(known):
            verdict.expect(
                until <= since, f"{key} was held by {holder} until {until} and taken by {next_holder} at {since}"
            )


def jobs_of_a_running_key_take_turns(run: Evidence, verdict: Verdict) -> None:
    """Of two jobs that hold one unique key while they run, the attempts that succeeded do not overlap.

    Attempts without a result may: a frozen process that has lost its lease goes on running.
    """
    held = {job_id: options.unique_key for job_id, options in run.options.items() if options.unique_while == "running"}
    take_turns(run, verdict, held)


def take_turns(run: Evidence, verdict: Verdict, keys: Mapping[str, str | None]) -> None:
    """Expect that the succeeded attempts of the jobs of one key do not overlap. `keys`: by job; None: it has none."""
    succeeded = {
        (job_id, outcome.attempt)
        for job_id, key in keys.items()
        for outcome in run.outcomes.get(job_id, ())
        if key is not None and outcome.status == "SUCCESS"
    }
    begun: dict[tuple[str, int], list[float]] = defaultdict(list)
    for line in run.effects:
        if line.phase == "begin":
            begun[line.job, line.attempt].append(line.at_s)
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for line in run.effects:
        starts = begun[line.job, line.attempt]
        # The ledger knows no runs: two of them may have an attempt with the same number.
        if line.phase == "end" and (line.job, line.attempt) in succeeded and len(starts) == 1:
            spans[str(keys[line.job])].append((starts[0], line.at_s, f"{line.job} in attempt {line.attempt}"))
    for key, known in spans.items():
        for (_, until, holder), (since, _, next_holder) in pairwise(sorted(known)):
            verdict.expect(until <= since, f"{key}: {next_holder} began at {since}, before {holder} ended at {until}")


def times_are_kept(run: Evidence, verdict: Verdict) -> None:
    """No attempt begins before the time of its job or after its deadline.

    Only a job with a deadline ends because of one, and not before it.
    """
    for job_id, options in run.options.items():
        for outcome in run.outcomes.get(job_id, ()):
            past = run.past_attempts(job_id, outcome.run_number)
            starts = [attempt.started_at for attempt in past] + ([outcome.started_at] if outcome.started_at else [])
            if options.run_at is not None and starts and outcome.run_number == 0:  # a manual retry runs at once
                verdict.expect(
                    run.in_order(options.run_at, starts[0]), f"{job_id} began at {starts[0]}, before {options.run_at}"
                )
            if outcome.error_type == LATE:
                deadline = options.deadline if outcome.run_number == 0 else None
                verdict.expect(
                    deadline is not None and run.in_order(deadline, outcome.finished_at),
                    f"{job_id} ended for its deadline {deadline} at {outcome.finished_at}",
                )
            elif options.deadline is not None and outcome.run_number == 0 and outcome.status == "SUCCESS":
                verdict.expect(
                    run.in_order(starts[-1], options.deadline),
                    f"{job_id} began at {starts[-1]}, after its deadline {options.deadline}",
                )
