"""Calls that read what is not about single jobs."""

from typing import Any

from jobproc.client.connection.request import Request, get
from jobproc.client.views.queues import OperationView, QueueStatsView
from jobproc.client.views.view import View, view


def operations() -> Request[list[OperationView]]:
    """List the operations that workers have registered, with their schemas."""
    return get("/operations", lambda response: list(view(View)(response).operations))


def stats() -> Request[QueueStatsView]:
    """Retrieve the numbers of jobs of the queues."""
    return get("/stats", view(QueueStatsView))


def usage() -> Request[View]:
    """Retrieve the use of the tenant's quotas."""
    return get("/usage", view(View))


def raw(method: str, path: str, body: bytes | None = None, **query: Any) -> Request[Any]:
    """Return a request of any path; a body is JSON."""
    headers = {"Content-Type": "application/json"} if body is not None else {}
    reads = method.upper() in {"GET", "HEAD"}
    return Request(method.upper(), path, _any, query=query, body=body, headers=headers, is_repeatable=reads)


def _any(response: Any) -> Any:
    return response.json() if response.body else None
