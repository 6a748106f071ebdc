"""Calls about queues."""

from typing import Any, Unpack

from typing_extensions import TypedDict

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, change, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.views.queues import QueueDetail, QueueList
from jobproc.client.views.view import view


class QueueChanges(TypedDict, total=False):
    """The members of a queue that are changed; None removes a limit."""

    concurrency: int | None
    rate: dict[str, Any] | None
    key_concurrency: int | None
    key_rate: dict[str, Any] | None
    events: bool
    paused: bool


def page(limit: int | None = None, after: str | None = None) -> Request[QueueList]:
    """List a page of queues, by name."""
    return get("/queues", view(QueueList), limit=limit, after=after)


def queues(most: int | None = None) -> Flow[None]:
    """List queues, by name."""
    return all_pages(page(), lambda view: view.queues, most)


def queue(name: str, *, all_tenants: bool | None = None) -> Request[QueueDetail]:
    """Retrieve a queue with its limits and the numbers of its jobs."""
    return get(f"/queues/{segment(name)}", view(QueueDetail), all_tenants=all_tenants)


def pause(name: str, *, all_tenants: bool | None = None) -> Request[QueueDetail]:
    """Pause a queue: no job of it begins any more."""
    query = {"all_tenants": all_tenants}
    return post(f"/queues/{segment(name)}/pause", view(QueueDetail), repeatable=True, query=query)


def resume(name: str, *, all_tenants: bool | None = None) -> Request[QueueDetail]:
    """Let the jobs of a paused queue begin again."""
    query = {"all_tenants": all_tenants}
    return post(f"/queues/{segment(name)}/resume", view(QueueDetail), repeatable=True, query=query)


def alter(name: str, if_match: str | None = None, **changes: Unpack[QueueChanges]) -> Request[QueueDetail]:
    """Change the limits of a queue. `if_match`: the `etag` of a view, so that no other change is overwritten."""
    return change("PATCH", f"/queues/{segment(name)}", view(QueueDetail), changes, if_match)
