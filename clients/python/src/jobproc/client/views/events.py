"""Views of responses: events. Made by `make generate`."""

from __future__ import annotations

from jobproc.client.views.shared import State
from jobproc.client.views.view import View


class ChangeView(View):
    """A change of the state of a job."""

    number: int
    job_id: str
    queue: str
    operation: str | None
    tags: list[str]
    status: State | None
    run: int
    attempt: int
    revision: int
    due_at: str | None
    parked: bool
    at: str


class FeedPageView(View):
    """A page of the change feed, in the order of the numbers."""

    events: list[ChangeView]
    after: int
    next: str
