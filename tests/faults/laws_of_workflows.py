"""The law of workflows."""

from collections.abc import Iterator
from datetime import datetime

from faults.evidence import Evidence, Outcome
from faults.verdict import Verdict
from faults.workflows import StoredNode


def a_job_runs_after_its_parents(run: Evidence, verdict: Verdict) -> None:
    """Each run of a job of a workflow begins when its parents have ended as its policy asks.

    Those of which one has not succeeded end at once by `fail`, and never by `run`. That none is left is the law that
    nothing is lost.
    """
    for job_id, node in run.nodes.items():
        for outcome in run.outcomes.get(job_id, ()):
            starts = run.attempt_starts(job_id, outcome.run_number)
            if starts:
                _judge_start(run, verdict, job_id, node, min(starts))
            if outcome.error_type == "parent_failed":
                _judge_fall(run, verdict, job_id, node, outcome)


def _judge_start(run: Evidence, verdict: Verdict, job_id: str, node: StoredNode, started_at: datetime) -> None:
    for parent, ends in _ends(run, node):
        earlier = [outcome for outcome in ends if run.in_order(outcome.finished_at, started_at)]
        verdict.expect(
            bool(earlier), f"{job_id} began at {started_at}, and {parent}, for which it waits, ended {_times(ends)}"
        )
        statuses = {outcome.status for outcome in earlier[-1:]}
        retried = len(ends) > len(earlier)  # it may have been put back, or a clock step leaves the order unknown
        verdict.expect(
            node.on_parent_failure == "run" or statuses <= {"SUCCESS"} or retried,
            f"{job_id} ran although {parent} is {statuses} and its policy is {node.on_parent_failure}",
        )


def _judge_fall(run: Evidence, verdict: Verdict, job_id: str, node: StoredNode, fallen: Outcome) -> None:
    causes = [
        outcome
        for _, ends in _ends(run, node)
        for outcome in ends
        if outcome.status != "SUCCESS" and run.in_order(outcome.finished_at, fallen.finished_at)
    ]
    verdict.expect(
        node.on_parent_failure == "fail" and bool(causes),
        f"{job_id} fell at {fallen.finished_at} by the policy {node.on_parent_failure}, and no parent had failed",
    )


def _ends(run: Evidence, node: StoredNode) -> Iterator[tuple[str, list[Outcome]]]:
    for parent in node.parents:
        yield parent, sorted(run.outcomes.get(parent, ()), key=lambda outcome: outcome.run_number)


def _times(ends: list[Outcome]) -> str:
    return ", ".join(str(outcome.finished_at) for outcome in ends) or "never"
