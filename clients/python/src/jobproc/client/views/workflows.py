"""Views of responses: workflows. Made by `make generate`."""

from __future__ import annotations

from typing import Literal

from jobproc.client.views.shared import BatchCounts, FollowUpView, SelfLink, State
from jobproc.client.views.view import View

OnParentFailure = Literal["fail", "skip", "run"]
WorkflowState = Literal["RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"]


class WorkflowAccepted(View):
    """A workflow that is stored and runs."""

    workflow_id: str
    status: WorkflowState
    jobs: int
    job_ids: list[str]


class WorkflowEdge(View):
    """The dependencies of jobs with one operation on jobs with another."""

    parent: str
    child: str
    count: int


class WorkflowGraph(View):
    """The graph of a workflow, folded by operation."""

    operations: list[WorkflowOperation]
    edges: list[WorkflowEdge]


class WorkflowLinks(View):
    """Links to a workflow and to the requests about it, as paths."""

    self: str
    jobs: str
    cancel: str
    retry: str
    events: str


class WorkflowList(View):
    """A page of workflows, newest first."""

    workflows: list[WorkflowSummary]
    next: str | None


class WorkflowNode(View):
    """A job of a workflow."""

    job_id: str
    name: str
    operation: str
    status: State
    on_parent_failure: OnParentFailure | None
    depends_on: list[str]
    parents: int
    attempt: int
    started_at: str | None
    finished_at: str | None
    error_type: str | None
    links: SelfLink


class WorkflowNodes(View):
    """A page of the jobs of a workflow: parents come first."""

    jobs: list[WorkflowNode]
    next: str | None


class WorkflowOperation(View):
    """The jobs of a workflow with one operation."""

    operation: str
    jobs: int
    states: dict[str, int]


class WorkflowSummary(View):
    """A workflow without its jobs."""

    workflow_id: str
    status: WorkflowState
    jobs: int
    created_at: str
    ended_at: str | None
    cancelled_at: str | None
    submitted_by: str | None
    follow_up: FollowUpView | None
    links: WorkflowLinks


class WorkflowView(View):
    """A workflow with the exact counts of its jobs, and its graph."""

    workflow_id: str
    status: WorkflowState
    jobs: int
    created_at: str
    ended_at: str | None
    cancelled_at: str | None
    submitted_by: str | None
    follow_up: FollowUpView | None
    links: WorkflowLinks
    counts: BatchCounts
    counted_at: str
    progress: float
    graph: WorkflowGraph | None
