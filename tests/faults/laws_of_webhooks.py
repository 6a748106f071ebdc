"""The law of webhooks."""

from faults.evidence import Evidence
from faults.verdict import Verdict


def each_end_is_told_of_once(run: Evidence, verdict: Verdict) -> None:
    """Each run of a job with a webhook that has ended has one delivery, and so has each batch; no other end has any."""
    verdict.expect(run.untold == 0, f"{run.untold} deliveries are stored that belong to no end")
    for (job_id, run_number), deliveries in run.told.items():
        verdict.expect(deliveries == 1, f"the end of run {run_number} of job {job_id} has {deliveries} deliveries")
    for batch_id, deliveries in run.told_of_batches.items():
        verdict.expect(deliveries == 1, f"the end of batch {batch_id} has {deliveries} deliveries")
