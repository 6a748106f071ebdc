"""Views of responses: shared. Made by `make generate`."""

from __future__ import annotations

from typing import Literal

from jobproc.client.views.view import View

State = Literal["SCHEDULED", "BLOCKED", "PENDING", "IN_PROGRESS", "RETRYING", "SUCCESS", "FAILED", "CANCELLED"]


class BackoffView(View):
    """The delays between failed attempts."""

    base_seconds: float
    cap_seconds: float


class BatchAccepted(View):
    """Jobs of a batch, which are stored and will run."""

    job_ids: list[str]
    status: State
    batch_id: str
    jobs: int | None
    ranges: list[LineRange] | None
    refused: list[RefusedLineView] | None
    complete: bool | None


class BatchCounts(View):
    """The jobs of a batch by their state, at one instant."""

    unfinished: int
    succeeded: int
    failed: int
    cancelled: int


class ErrorView(View):
    """The error of a job or of an attempt."""

    type: str
    text: str


class FollowUpView(View):
    """The follow-up of a batch."""

    operation: str
    job_id: str | None


class JobAccepted(View):
    """A job that is stored and will run."""

    job_id: str
    status: State


class LineRange(View):
    """Lines whose jobs have ids that follow each other."""

    first_line: int
    last_line: int
    first_job_id: str


class RefusedLineView(View):
    """A line of which no job was stored."""

    line: int
    type: str
    detail: str


class SelfLink(View):
    """The link to a resource."""

    self: str


class WebhookView(View):
    """The endpoint that is told of an end."""

    endpoint_id: str
