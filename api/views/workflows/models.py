"""Workflows: the queries of their lists, and the models of response bodies."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID, SelfLink
from api.views.batches import BatchCounts, FollowUpView
from api.views.cursors import MAX_CURSOR_CHARACTERS
from api.web.timestamps import Timestamp
from common.domain.states import State
from common.domain.workflows import OnParentFailure, WorkflowState

Cursor = Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS)]


class WorkflowListQuery(BaseModel):
    """The parameters of GET /workflows."""

    model_config = ConfigDict(extra="forbid")

    status: WorkflowState | None = Field(None, description="Workflows in this state.", examples=["RUNNING"])
    created_after: Timestamp | None = Field(
        None,
        description="Workflows created at this time or later. RFC 3339 with an offset.",
        examples=["2026-01-01T00:00:00+00:00"],
    )
    created_before: Timestamp | None = Field(
        None, description="Workflows created before this time.", examples=["2026-01-01T00:00:00+00:00"]
    )
    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None,
        description="The number of workflows on a page, at most JOBPROC_LIST_PAGE_JOBS. Default: 50.",
        examples=[200],
    )
    cursor: Cursor | None = Field(None, description="The position of the page, from `next` of the previous page.")


class WorkflowNodesQuery(BaseModel):
    """The parameters of GET /workflows/{workflow_id}/jobs."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=1_000)] | None = Field(
        None,
        description="The number of jobs on a page, at most JOBPROC_LIST_PAGE_JOBS. Default: 50.",
        examples=[200],
    )
    cursor: Cursor | None = Field(None, description="The position of the page, from `next` of the previous page.")


class WorkflowAccepted(BaseModel):
    """A workflow that is stored and runs."""

    workflow_id: UUID = Field(description="The id of the workflow, a UUIDv7.", examples=[EXAMPLE_ID])
    status: WorkflowState = Field(description="Always `RUNNING`.", examples=["RUNNING"])
    jobs: int = Field(description="The number of jobs that are stored.", examples=[3])
    job_ids: list[UUID] = Field(
        description="The ids of the jobs, in the order of the submission. Empty for NDJSON: GET "
        "/workflows/{workflow_id}/jobs lists them."
    )


class WorkflowLinks(SelfLink):
    """Links to a workflow and to the requests about it, as paths."""

    jobs: str = Field(description="GET lists the jobs of the workflow with their parents.")
    cancel: str
    retry: str
    events: str


class WorkflowSummary(BaseModel):
    """A workflow without its jobs."""

    workflow_id: UUID = Field(description="The id of the workflow, a UUIDv7.", examples=[EXAMPLE_ID])
    status: WorkflowState = Field(
        description="`RUNNING`: a job has not ended. At rest: `SUCCEEDED`, all jobs are SUCCESS; `FAILED`, a job is "
        "FAILED; `CANCELLED`, no job is FAILED, and one was cancelled or skipped."
    )
    jobs: int = Field(description="The number of jobs, with those that running jobs have added.", examples=[3])
    created_at: datetime
    ended_at: datetime | None = Field(
        description="When all jobs had ended for the first time, and the follow-up was stored."
    )
    cancelled_at: datetime | None = Field(description="When the newest cancel was requested.")
    submitted_by: str | None = Field(description="The caller who has created the workflow.")
    follow_up: FollowUpView | None
    links: WorkflowLinks


class WorkflowOperation(BaseModel):
    """The jobs of a workflow with one operation."""

    operation: str = Field(description="The name of the operation.", examples=["encode"])
    jobs: int = Field(description="The number of jobs.", examples=[12])
    states: dict[State, int] = Field(description="The number of jobs in each state.", examples=[{"SUCCESS": 12}])


class WorkflowEdge(BaseModel):
    """The dependencies of jobs with one operation on jobs with another."""

    parent: str = Field(description="The operation of the jobs that others wait for.", examples=["probe"])
    child: str = Field(description="The operation of the jobs that wait.", examples=["encode"])
    count: int = Field(description="The number of entries of `depends_on`.", examples=[12])


class WorkflowGraph(BaseModel):
    """The graph of a workflow, folded by operation."""

    operations: list[WorkflowOperation] = Field(description="In the order in which they come first.")
    edges: list[WorkflowEdge] = Field(description="Without those of jobs that running jobs have added for others.")


class WorkflowView(WorkflowSummary):
    """A workflow with the exact counts of its jobs, and its graph."""

    counts: BatchCounts
    counted_at: datetime = Field(
        description="When the jobs were counted. If that took long, the response may be as old as twenty times that."
    )
    progress: float = Field(description="The share of the jobs that have ended, 0 to 1.", examples=[0.88])
    graph: WorkflowGraph | None = Field(
        description="The jobs by operation, and the dependencies between operations. As old as twenty times what it "
        "took to read. Null for a workflow of more than JOBPROC_WORKFLOW_GRAPH_JOBS jobs."
    )


class WorkflowList(BaseModel):
    """A page of workflows, newest first."""

    workflows: list[WorkflowSummary]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class WorkflowNode(BaseModel):
    """A job of a workflow."""

    job_id: UUID = Field(description="The id of the job.", examples=[EXAMPLE_ID])
    name: str = Field(description="Its name in the workflow.", examples=["encode"])
    operation: str = Field(examples=["encode"])
    status: State
    on_parent_failure: OnParentFailure | None = Field(description="Null for a job without parents.")
    depends_on: list[str] = Field(description="Names of the latest hundred of its parents.", examples=[["probe"]])
    parents: int = Field(description="The number of its parents.", examples=[1])
    attempt: int
    started_at: datetime | None
    finished_at: datetime | None
    error_type: str | None = Field(description="Of a FAILED job.", examples=["parent_failed"])
    links: SelfLink


class WorkflowNodes(BaseModel):
    """A page of the jobs of a workflow: parents come first."""

    jobs: list[WorkflowNode]
    next: str | None = Field(description="The path of the next page. Null on the last page.")
