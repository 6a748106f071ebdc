"""The span of an attempt that ended with its process, recorded by whoever settles it."""

from common.domain.decisions import Failure
from common.domain.job import ClaimedJob
from common.telemetry import traces


def record(job: ClaimedJob, queue: str, failure: Failure, ran_s: float) -> None:
    """Record it, if this process traces and the job is traced; `ran_s`: for how long it ran, 0 where nobody knows."""
    if traces.tracer is not None and job.trace is not None:
        from worker.tracing import spans

        spans.record_lost(job, queue, failure, ran_s)
