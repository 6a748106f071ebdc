"""Views of responses: batches. Made by `make generate`."""

from __future__ import annotations

from typing import Literal

from jobproc.client.views.shared import BatchCounts, FollowUpView, WebhookView
from jobproc.client.views.view import View

BatchState = Literal["OPEN", "CLOSED", "ENDED"]


class BatchLinks(View):
    """Links to a batch and to the requests about it, as paths."""

    self: str
    jobs: str
    add: str
    close: str
    cancel: str
    events: str


class BatchList(View):
    """A page of batches, newest first."""

    batches: list[BatchSummary]
    next: str | None


class BatchSummary(View):
    """A batch without the counts of its jobs."""

    batch_id: str
    status: BatchState
    jobs: int
    created_at: str
    closed_at: str | None
    ended_at: str | None
    cancelled_at: str | None
    submitted_by: str | None
    webhook: WebhookView | None
    follow_up: FollowUpView | None
    links: BatchLinks


class BatchView(View):
    """A batch with the exact counts of its jobs."""

    batch_id: str
    status: BatchState
    jobs: int
    created_at: str
    closed_at: str | None
    ended_at: str | None
    cancelled_at: str | None
    submitted_by: str | None
    webhook: WebhookView | None
    follow_up: FollowUpView | None
    links: BatchLinks
    counts: BatchCounts
    counted_at: str
    progress: float
