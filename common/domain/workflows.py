"""Workflows: jobs of one submission that wait for each other. Each is a batch, whose ids and counts it has."""

from enum import StrEnum


class WorkflowState(StrEnum):
    """The state of a workflow, from what its jobs came to. Names are on the wire."""

    RUNNING = "RUNNING"  #: a job has not ended
    SUCCEEDED = "SUCCEEDED"  #: all jobs are SUCCESS
    FAILED = "FAILED"  #: at rest, and a job is FAILED
    CANCELLED = "CANCELLED"  #: at rest, no job is FAILED, and one was cancelled or skipped


def state_of(failed: int, cancelled: int, *, is_at_rest: bool) -> WorkflowState:
    """Return the state of a workflow with so many FAILED and CANCELLED jobs."""
    if not is_at_rest:
        return WorkflowState.RUNNING
    if failed:
        return WorkflowState.FAILED
    return WorkflowState.CANCELLED if cancelled else WorkflowState.SUCCEEDED
