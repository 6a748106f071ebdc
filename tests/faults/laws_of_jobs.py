"""The laws of jobs: none is lost or invented, and clients see the right results."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from rig.system import TERMINAL

from faults.evidence import Evidence
from faults.history import Answer, Call
from faults.jobs import SentJob, expected_result
from faults.verdict import Verdict

#: The statuses of the requests that name a job, if they find it.
FOUND_STATUSES = {
    "read": {200},
    "wait": {200},
    "cancel": {200, 202},
    "retry": {202, 409},
}


def nothing_is_lost(run: Evidence, verdict: Verdict) -> None:
    """Each accepted job is stored as it was sent. It has ended once, and once more for each manual retry and undo."""
    for call, sent, job_id in _accepted(run.calls):
        row = run.stored.get(job_id)
        verdict.expect(
            row is not None and row.sent == sent,
            f"{job_id} of {call.action} by client {call.client} was accepted as {sent} and is stored as {row}",
        )
    for job_id in run.stored:
        ended_runs = [outcome.run_number for outcome in run.outcomes.get(job_id, ())]
        expected_runs = list(range(1 + run.last_run_number(job_id)))
        verdict.expect(
            ended_runs == expected_runs and job_id not in run.unfinished,
            f"{job_id} has ended in the runs {ended_runs} of {expected_runs}"
            f"{', is unfinished' * (job_id in run.unfinished)}",
        )


def nothing_is_invented(run: Evidence, verdict: Verdict) -> None:
    """Each stored job was sent, once. No refused job is stored. An unanswered request is stored whole or not at all."""
    rows, answers_by_key = Counter(row.sent for row in run.stored.values()), _answers_by_key(run.calls)
    known: set[SentJob] = set()
    for call in run.calls:
        if not call.sent:
            continue
        known.update(call.sent)
        counts = [rows[sent] for sent in call.sent]
        answers = answers_by_key.get(call.idempotency_key, {call.answer})
        allowed = {1} if Answer.OK in answers else {0, 1} if Answer.UNKNOWN in answers else {0}
        verdict.expect(
            set(counts) <= allowed and len(set(counts)) == 1,
            f"{call.action} by client {call.client}, {call.answer} ({call.status}), is stored {counts} times",
        )
    for job_id, row in run.stored.items():
        verdict.expect(row.sent in known, f"{job_id} was sent by nobody: {row.sent}")


def an_accepted_job_can_be_read(run: Evidence, verdict: Verdict) -> None:
    """A read, cancel or retry finds its job. Clients name only accepted jobs of their tenant."""
    for call in run.calls:  # laws of API keys judge 401
        if call.action in FOUND_STATUSES and call.answer is not Answer.UNKNOWN and call.status != 401:
            verdict.expect(
                call.status in FOUND_STATUSES[call.action],
                f"{call.job_ids[0]} was accepted and its {call.action} is answered with {call.status}",
            )


def results_are_right(run: Evidence, verdict: Verdict) -> None:
    """A success has the result of its operation, wherever it is shown; a failure has a reason."""
    for job_id, outcomes in run.outcomes.items():
        for outcome in outcomes:
            if outcome.status == "SUCCESS" and job_id in run.stored:
                expected = expected_result(run.input_of(job_id, outcome.run_number))
                verdict.expect(outcome.result == expected, f"{job_id} results in {outcome.result}, not {expected}")
            elif outcome.status == "FAILED":
                verdict.expect(outcome.error_type is not None, f"{job_id} failed for no reason")
    for call in _reads(run.calls):
        job_id, status, result = call.job_ids[0], call.response["status"], call.response["result"]
        verdict.expect((status == "SUCCESS") == (result is not None), f"{job_id} is {status} with result {result}")
        if status == "SUCCESS" and job_id in run.stored:
            verdict.expect(
                result == expected_result(run.input_of(job_id, call.response["run"])),
                f"{job_id} was shown with result {result}",
            )


def what_was_seen_stays(run: Evidence, verdict: Verdict) -> None:
    """In reads one after the other, runs and attempts never decrease, and nothing of an ended run changes."""
    reads: dict[str, list[Call]] = defaultdict(list)
    for call in _reads(run.calls):
        reads[call.job_ids[0]].append(call)
    for job_id, calls in reads.items():
        by_end = iter(sorted(calls, key=lambda call: call.ended_s))
        earlier, latest, ended = next(by_end), (0, 0), dict[int, dict[str, Any]]()
        for call in sorted(calls, key=lambda call: call.began_s):
            while earlier.ended_s < call.began_s:  # all reads that had ended when this one began
                latest = max(latest, _run_and_attempt(earlier))
                if earlier.response["status"] in TERMINAL:
                    ended.setdefault(earlier.response["run"], _shown_outcome(earlier))
                earlier = next(by_end)
            seen_outcome = ended.get(call.response["run"])
            verdict.expect(
                _run_and_attempt(call) >= latest,
                f"{job_id} was seen in run and attempt {latest}, later in {_run_and_attempt(call)}",
            )
            verdict.expect(
                seen_outcome is None or _shown_outcome(call) == seen_outcome,
                f"{job_id} was seen as {seen_outcome}, later as {_shown_outcome(call)}",
            )
        seen = {
            (call.response["run"], call.response["status"]) for call in calls if call.response["status"] in TERMINAL
        }
        stored = {(outcome.run_number, outcome.status) for outcome in run.outcomes.get(job_id, ())}
        verdict.expect(seen <= stored, f"{job_id} was seen as {seen} and is stored as {stored}")


def _answers_by_key(calls: Iterable[Call]) -> dict[str | None, set[Answer]]:
    """Return the answers to all requests under each idempotency key: a job that one of them stored counts for all."""
    answers: dict[str | None, set[Answer]] = defaultdict(set)
    for call in calls:
        if call.idempotency_key is not None:
            answers[call.idempotency_key].add(call.answer)
    return answers


def _accepted(calls: Iterable[Call]) -> Iterable[tuple[Call, SentJob, str]]:
    for call in calls:
        if call.sent and call.answer is Answer.OK:
            for sent, job_id in zip(call.sent, call.job_ids, strict=True):
                yield call, sent, job_id


def _reads(calls: Iterable[Call]) -> Iterable[Call]:
    return (call for call in calls if call.action == "read" and call.answer is Answer.OK)


def _run_and_attempt(call: Call) -> tuple[int, int]:
    return call.response["run"], call.response["attempt"]


def _shown_outcome(call: Call) -> dict[str, Any]:
    return {name: call.response.get(name) for name in ("status", "result", "error", "finished_at", "attempt")}
