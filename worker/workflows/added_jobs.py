"""Jobs that an operation adds to its workflow, as the store takes them."""

from common.domain.workflows import AddedJob, OnParentFailure
from jobproc.adding import JobToAdd


def added_job(job: JobToAdd) -> AddedJob:
    """Return a job with the options that the operation has given."""
    options = job.options
    timeout_s = options.get("timeout_seconds")
    return AddedJob(
        job.name,
        job.operation,
        job.input,
        tuple(options.get("depends_on", ())),
        OnParentFailure(options.get("on_parent_failure", OnParentFailure.FAIL)),
        options.get("queue"),
        options.get("priority", 5),
        options.get("max_attempts"),
        None if timeout_s is None else max(1, round(timeout_s * 1000)),
    )
