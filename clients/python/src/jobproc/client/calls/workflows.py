"""Calls about workflows."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jobproc.client.calls.jobs import LONG_POLL_S, new_key
from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.errors import WaitTimeout
from jobproc.client.views.view import view
from jobproc.client.views.workflows import WorkflowAccepted, WorkflowList, WorkflowNodes, WorkflowView

RUNNING = "RUNNING"


def submit(
    jobs: Sequence[Mapping[str, Any]], options: Mapping[str, Any] | None = None, key: str | None = None
) -> Request[WorkflowAccepted]:
    """Submit a workflow: submissions with `name`, `depends_on` and `on_parent_failure`.

    `options`: follow_up, webhook.
    """
    return post("/workflows", view(WorkflowAccepted), {"jobs": jobs, **(options or {})}, key=key or new_key())


def workflow(workflow_id: str, wait_s: float = 0.0) -> Request[WorkflowView]:
    """Retrieve a workflow with the counts of its jobs, once it is at rest or the time is up."""
    return get(f"/workflows/{segment(workflow_id)}", view(WorkflowView), wait_s)


def page(
    status: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Request[WorkflowList]:
    """List a page of workflows, newest first."""
    filters: dict[str, Any] = {"status": status, "created_after": created_after, "created_before": created_before}
    return get("/workflows", view(WorkflowList), limit=limit, cursor=cursor, **filters)


def workflows(
    status: str | None = None,
    created_after: datetime | str | None = None,
    created_before: datetime | str | None = None,
    most: int | None = None,
) -> Flow[None]:
    """List workflows, newest first."""
    return all_pages(page(status, created_after, created_before), lambda view: view.workflows, most)


def nodes(workflow_id: str, most: int | None = None) -> Flow[None]:
    """List the jobs of a workflow, each with its parents."""
    path = f"/workflows/{segment(workflow_id)}/jobs"
    return all_pages(get(path, view(WorkflowNodes)), lambda view: view.jobs, most)


def cancel(workflow_id: str) -> Request[WorkflowView]:
    """Cancel the jobs of a workflow."""
    return post(f"/workflows/{segment(workflow_id)}/cancel", view(WorkflowView), repeatable=True)


def retry(workflow_id: str) -> Request[WorkflowView]:
    """Run the jobs of a workflow that have not succeeded once more."""
    return post(f"/workflows/{segment(workflow_id)}/retry", view(WorkflowView))


def wait(workflow_id: str, timeout_s: float | None, clock_s: Callable[[], float]) -> Flow[WorkflowView]:
    """Wait until a workflow is at rest. Raises WaitTimeout."""
    ends_at = None if timeout_s is None else clock_s() + timeout_s
    while True:
        left = LONG_POLL_S if ends_at is None else ends_at - clock_s()
        found: WorkflowView = yield workflow(workflow_id, max(0.0, min(left, LONG_POLL_S)))
        if found.status != RUNNING:
            return found
        if ends_at is not None and clock_s() >= ends_at:
            raise WaitTimeout(f"workflow {workflow_id}", timeout_s or 0.0)
