"""The law of batches."""

from collections import Counter, defaultdict

from faults.evidence import Evidence, StoredBatch
from faults.verdict import Verdict

RANGE_CHARACTERS = 28  # of an id: the part that a batch and its jobs have in common


def a_batch_ends_once(run: Evidence, verdict: Verdict) -> None:
    """Each batch has ended, its counts are right, and its follow-up was stored once, after the last job had ended."""
    by_range: dict[str, list[str]] = defaultdict(list)
    for job_id in run.stored:
        by_range[job_id[:RANGE_CHARACTERS]].append(job_id)
    for batch_id, batch in run.batches.items():
        _judge(run, verdict, batch, f"the batch {batch_id}", by_range[batch_id[:RANGE_CHARACTERS]])


def _judge(run: Evidence, verdict: Verdict, batch: StoredBatch, title: str, job_ids: list[str]) -> None:
    last = Counter(run.outcomes[job_id][-1].status for job_id in job_ids if run.outcomes.get(job_id))
    verdict.expect(batch.has_ended, f"{title} has not ended")
    verdict.expect(
        (batch.jobs, batch.failed, batch.cancelled) == (len(job_ids), last["FAILED"], last["CANCELLED"]),
        f"{title} counts {batch}, and of its {len(job_ids)} jobs ended {dict(last)}",
    )
    verdict.expect(
        len(batch.follow_ups) == batch.has_follow_up,
        f"the follow-up of {title} is stored {len(batch.follow_ups)} times",
    )
    ends = [run.outcomes[job_id][0].finished_at for job_id in job_ids if run.outcomes.get(job_id)]
    for stored_at in batch.follow_ups if ends else ():
        verdict.expect(
            run.in_order(max(ends), stored_at),
            f"the follow-up of {title} was stored at {stored_at}, and a job ended for the first time at {max(ends)}",
        )
