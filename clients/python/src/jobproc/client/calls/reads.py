"""Calls that read what is not about single jobs."""

import json
from typing import Any

from jobproc.client.connection.request import Request, get
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Steps
from jobproc.client.views.queues import OperationView, QueueStatsView
from jobproc.client.views.view import View, nothing, view


def operations() -> Request[list[OperationView]]:
    """List the operations that workers have registered, with their schemas."""
    return get("/operations", lambda response: list(view(View)(response).operations))


def stats() -> Request[QueueStatsView]:
    """Retrieve the numbers of jobs of the queues."""
    return get("/stats", view(QueueStatsView))


def usage() -> Request[View]:
    """Retrieve the use of the tenant's quotas."""
    return get("/usage", view(View))


class LiveEvent(View):
    """A part of the overview of a tenant, as it is now: the members of the event's data, and its name."""

    name: str  #: `stats`, `workers`, `bulk_actions`; `hello` has the version and the time of the server


def live(session: Session) -> Steps[None]:
    """Follow the overview without an end: each part at first, and again when it has changed."""
    return session.events(get("/live", nothing), _live_event)


def _live_event(name: str, data: str) -> tuple[LiveEvent, bool]:
    return LiveEvent({**json.loads(data, object_hook=View), "name": name}), False


def raw(method: str, path: str, body: bytes | None = None, **query: Any) -> Request[Any]:
    """Return a request of any path; a body is JSON."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    reads = method.upper() in {"GET", "HEAD"}
    return Request(method.upper(), path, _any, query=query, body=body, headers=headers, is_repeatable=reads)


def _any(response: Any) -> Any:
    return response.json() if response.body else None
