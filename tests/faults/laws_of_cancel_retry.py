"""The laws of cancels and manual retries."""

from collections import defaultdict
from collections.abc import Iterable

from rig.system import TERMINAL

from faults.evidence import Evidence
from faults.history import Answer, Call
from faults.verdict import Verdict


def a_cancel_holds(run: Evidence, verdict: Verdict) -> None:
    """A job with an acknowledged cancel ends CANCELLED without a result, or had ended before as the answer says.

    Afterwards it does not start again in that run.
    """
    for job_id, outcomes in run.outcomes.items():
        for outcome in outcomes:
            if outcome.status == "CANCELLED":
                verdict.expect(
                    outcome.result is None and outcome.error_type is None,
                    f"{job_id} is cancelled with {outcome.result} and {outcome.error_type}",
                )
    retries, reads = _by_job(run.calls, "retry", {Answer.OK, Answer.UNKNOWN}), _by_job(run.calls, "read", {Answer.OK})
    for job_id, cancels in _by_job(run.calls, "cancel", {Answer.OK}).items():
        for cancel in cancels:
            runs = _run_numbers(run, job_id, cancel, retries[job_id])
            _judge_cancel(run, verdict, cancel, runs, reads[job_id])


def _judge_cancel(run: Evidence, verdict: Verdict, cancel: Call, runs: tuple[int, int], reads: Iterable[Call]) -> None:
    """Judge one acknowledged cancel. `runs`: the first and the last run that it may have been for."""
    job_id, requested, (first, last) = cancel.job_ids[0], cancel.response["cancel_requested"], runs
    promised = "CANCELLED" if requested else cancel.response["status"]
    stored = {outcome.status for outcome in run.outcomes.get(job_id, ()) if first <= outcome.run_number <= last}
    verdict.expect(
        promised in stored & TERMINAL,
        f"{job_id} was promised to end {promised}, and has ended {sorted(stored)} in its runs {first} to {last}",
    )
    if first != last or requested:
        return
    for read in reads:
        if read.began_s > cancel.ended_s and read.response["run"] == first:
            verdict.expect(
                read.response["status"] == promised,
                f"{job_id} had ended {promised} by an answer, and was seen as {read.response['status']} later",
            )


def a_manual_retry_is_one_more_run(run: Evidence, verdict: Verdict) -> None:
    """Each acknowledged manual retry is one more run, with its input, of a job that was FAILED or CANCELLED.

    There is no other way to a further run.
    """
    retries = _by_job(run.calls, "retry", {Answer.OK, Answer.UNKNOWN})
    for job_id, calls in retries.items():
        acknowledged = [call for call in calls if call.answer is Answer.OK]
        inputs = run.retry_inputs.get(job_id, {})
        for call in acknowledged:
            run_number = call.response["run"]
            verdict.expect(
                run_number in inputs and inputs[run_number] == call.retry_input,
                f"{job_id}: run {run_number} was promised with {call.retry_input} and is stored as {inputs}",
            )
        promised = [call.response["run"] for call in acknowledged]
        verdict.expect(len(promised) == len(set(promised)), f"{job_id} was promised the runs {promised}")
    for job_id, inputs in run.retry_inputs.items():
        calls = retries.get(job_id, [])
        promised = [call.response["run"] for call in calls if call.answer is Answer.OK]
        unknown = [call.retry_input for call in calls if call.answer is Answer.UNKNOWN]
        others = [sent for run_number, sent in inputs.items() if run_number not in promised]
        verdict.expect(
            len(others) <= len(unknown) and set(others) <= set(unknown),
            f"{job_id} has runs with {others} that nobody asked for",
        )
        status = {outcome.run_number: outcome.status for outcome in run.outcomes.get(job_id, ())}
        for run_number in inputs:
            verdict.expect(
                status.get(run_number - 1) in {"FAILED", "CANCELLED"},
                f"{job_id} ended {status.get(run_number - 1)} and has a run {run_number}",
            )


def _by_job(calls: Iterable[Call], action: str, answers: set[Answer]) -> dict[str, list[Call]]:
    calls_by_job: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.action == action and call.answer in answers:
            calls_by_job[call.job_ids[0]].append(call)
    return calls_by_job


def _run_numbers(run: Evidence, job_id: str, call: Call, retries: Iterable[Call]) -> tuple[int, int]:
    """Return the first and the last run that a job may have been in at the time of a call."""
    # No client sees when an undo reaches a job, so any run of such a job is possible.
    first, last = 0, run.last_run_number(job_id) if job_id in run.undo_runs else 0
    for retry in retries:
        if retry.began_s > call.ended_s:
            continue
        if retry.answer is Answer.UNKNOWN:
            last = run.last_run_number(job_id)
        else:
            last = max(last, retry.response["run"])
            first = max(first, retry.response["run"] if retry.ended_s < call.began_s else 0)
    return first, last
