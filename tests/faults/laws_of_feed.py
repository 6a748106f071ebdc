"""The law of the change feed."""

from collections import Counter, defaultdict

from faults.evidence import Evidence
from faults.feed import PastChange
from faults.verdict import Verdict

_ENDS = ("SUCCESS", "FAILED", "CANCELLED")
_FIRST = ("BLOCKED", "PENDING", "SCHEDULED")


def a_feed_has_every_change_once(run: Evidence, verdict: Verdict) -> None:
    """Each end of a run is in the feed once, and each attempt. A job's changes are in order; all readers agree."""
    by_job: dict[str, list[PastChange]] = defaultdict(list)
    for tenant, changes in run.feed.items():
        verdict.expect(
            [change.number for change in changes] == list(range(1, len(changes) + 1)),
            f"the numbers of tenant {tenant} have gaps",
        )
        for change in changes:
            by_job[change.job_id].append(change)
    for job_id in run.stored:
        _judge(run, verdict, job_id, by_job[job_id])
    for number, changes in enumerate(run.feed_readers):
        verdict.expect(
            list(changes) == list(run.feed.get(1, ())),
            f"reader {number} has read {len(changes)} changes, and the feed has {len(run.feed.get(1, ()))}",
        )


def _judge(run: Evidence, verdict: Verdict, job_id: str, changes: list[PastChange]) -> None:
    revisions = [change.revision for change in changes]
    verdict.expect(revisions == sorted(revisions), f"changes of {job_id} are in the order {revisions}")
    first = changes[0].status if changes else None
    verdict.expect(first in _FIRST, f"the first change of {job_id} is {first}")
    ended = Counter((change.run_number, change.status) for change in changes if change.status in _ENDS)
    stored = Counter((outcome.run_number, outcome.status) for outcome in run.outcomes.get(job_id, ()))
    verdict.expect(ended == stored, f"{job_id} ended {dict(stored)}, and by the feed {dict(ended)}")
    begun = {(change.run_number, change.attempt) for change in changes if change.status == "IN_PROGRESS"}
    attempts = {(past.run_number, past.attempt) for past in run.attempts.get(job_id, ())}
    missing = attempts - begun
    verdict.expect(not missing, f"attempts {sorted(missing)} of {job_id} did not begin by the feed")
