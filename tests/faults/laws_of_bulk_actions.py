"""The law of bulk actions."""

from datetime import datetime
from typing import Any

from faults.evidence import Evidence
from faults.history import Answer
from faults.verdict import Verdict


def a_bulk_action_is_complete(run: Evidence, verdict: Verdict) -> None:
    """After a bulk cancel of all jobs of a tag is DONE, none of them begins, and its counts are right.

    An undo was asked for, and puts back only jobs that had been waiting.
    """
    undo_requested: set[str] = set()
    for call in run.calls:
        if call.action == "undo" and call.answer is not Answer.REFUSED:
            undo_requested.update(call.job_ids)
        if call.action == "read_bulk_action" and call.answer is Answer.OK:
            _judge_counts(run, verdict, call.response, call.job_ids)
    for job_id, run_numbers in run.undo_runs.items():
        verdict.expect(job_id in undo_requested, f"{job_id} was put back, and nobody asked for it")
        for run_number in run_numbers:
            undone = run.undone_outcome(job_id, run_number)
            waited = undone is not None and undone.status == "CANCELLED" and undone.started_at is None
            verdict.expect(waited, f"{job_id} was put back after it had ended as {undone}")


def _judge_counts(run: Evidence, verdict: Verdict, counts: dict[str, Any], job_ids: tuple[str, ...]) -> None:
    """Judge one response about a bulk action on these jobs."""
    title = f"bulk action {counts['bulk_action_id']}, {counts['phase']},"
    verdict.expect(counts["matched"] == counts["done"] + sum(counts["skipped"].values()), f"{title} counts {counts}")
    if counts["phase"] == "DONE":
        done_at = datetime.fromisoformat(counts["changed_at"])
        late_starts = [
            started_at
            for job_id in job_ids
            for started_at in run.attempt_starts(job_id, 0)
            if not run.in_order(started_at, done_at)
        ]
        verdict.expect(
            not late_starts, f"{title} was done at {counts['changed_at']}, and its jobs began at {late_starts}"
        )
        cancelled = sum(
            any(outcome.status == "CANCELLED" for outcome in run.outcomes.get(job_id, ())) for job_id in job_ids
        )
        verdict.expect(
            cancelled >= counts["done"],
            f"{title} has cancelled {counts['done']}, and {cancelled} of its jobs ended so",
        )
    if counts["phase"] == "UNDONE":
        undone = sum(len(run.undo_runs.get(job_id, ())) for job_id in job_ids)
        verdict.expect(
            undone == counts["undone"],
            f"{title} has put back {counts['undone']}, and its jobs have {undone} such runs",
        )
        verdict.expect(
            counts["done"] == counts["undone"] + sum(counts["not_undone"].values()), f"{title} counts {counts}"
        )
