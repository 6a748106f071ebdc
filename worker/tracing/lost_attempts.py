"""The span of an attempt that ended with its process, recorded by the process that settles it."""

from common.domain.decisions import Failure
from common.domain.job import ClaimedJob
from common.telemetry import traces


def record(job: ClaimedJob, queue: str, failure: Failure, ran_s: float) -> None:
    """Record the span if this process traces and the job is traced; `ran_s`: seconds that it ran, 0 if unknown."""
    if traces.tracer is not None and job.trace is not None:
        from worker.tracing import spans

        spans.record_lost(job, queue, failure, ran_s)
