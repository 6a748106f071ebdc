"""What must hold of actions on all jobs of a tag."""

from datetime import datetime

from faults.evidence import Evidence
from faults.history import Answer
from faults.verdict import Verdict


def an_action_has_its_way(run: Evidence, verdict: Verdict) -> None:
    """After a cancel of all is DONE none of its jobs begins; its counts are what happened; only what waited, and was asked for, is put back."""
    asked: set[str] = set()
    for call in run.calls:
        if call.what == "undo" and call.answer is not Answer.REFUSED:
            asked.update(call.ids)
        if call.what != "acted" or call.answer is not Answer.OK:
            continue
        seen, jobs = call.seen, call.ids
        what = f"action {seen['action_id']}, {seen['phase']},"
        verdict.that(seen["matched"] == seen["done"] + sum(seen["skipped"].values()), f"{what} counts {seen}")
        if seen["phase"] == "DONE":
            begun = [one for job_id in jobs for one in run.began(job_id, 0) if not run.in_order(one, datetime.fromisoformat(seen["changed_at"]))]
            verdict.that(not begun, f"{what} was done at {seen['changed_at']}, and its jobs began at {begun}")
            cancelled = sum(any(end.status == "CANCELLED" for end in run.ends.get(job_id, ())) for job_id in jobs)
            verdict.that(cancelled >= seen["done"], f"{what} has cancelled {seen['done']}, and {cancelled} of its jobs ended so")
        if seen["phase"] == "UNDONE":
            undone = sum(len(run.undone.get(job_id, ())) for job_id in jobs)
            verdict.that(undone == seen["undone"], f"{what} has put back {seen['undone']}, and its jobs have {undone} such epochs")
            verdict.that(seen["done"] == seen["undone"] + sum(seen["not_undone"].values()), f"{what} counts {seen}")
    for job_id, epochs in run.undone.items():
        verdict.that(job_id in asked, f"{job_id} was put back, and nobody asked for it")
        for epoch in epochs:
            before = run.before(job_id, epoch)
            waited = before is not None and before.status == "CANCELLED" and before.started_at is None
            verdict.that(waited, f"{job_id} was put back after it had ended as {before}")
