"""Calls about the change feed."""

from typing import Any

from jobproc.client.connection.request import Request, get
from jobproc.client.connection.steps import Emit, Flow
from jobproc.client.views.events import FeedPageView
from jobproc.client.views.view import view

WAIT_S = 30.0


def page(
    after: int | str | None = None,
    queue: str | None = None,
    operation: str | None = None,
    tag: str | None = None,
    limit: int | None = None,
    wait_s: float = 0.0,
) -> Request[FeedPageView]:
    """Read the oldest changes behind `after`."""
    filters: dict[str, Any] = {"queue": queue, "operation": operation, "tag": tag}
    return get("/events", view(FeedPageView), wait_s, after=after, limit=limit, **filters)


def changes(
    after: int | str | None = None, queue: str | None = None, operation: str | None = None, tag: str | None = None
) -> Flow[None]:
    """Follow the changes of jobs behind `after`, without an end: each has the `number` behind which to go on."""
    while True:
        found = yield page(after, queue, operation, tag, 1_000, WAIT_S)
        for event in found.events:
            yield Emit(event)
        after = found.after
