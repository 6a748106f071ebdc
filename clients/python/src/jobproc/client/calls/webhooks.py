"""Calls about webhooks."""

from collections.abc import Sequence
from typing import Any, Unpack

from typing_extensions import TypedDict

from jobproc.client.calls.paging import all_pages
from jobproc.client.connection.request import Request, change, get, post, segment
from jobproc.client.connection.steps import Flow
from jobproc.client.views.shared import JobAccepted
from jobproc.client.views.view import nothing, view
from jobproc.client.views.webhooks import DeliveryList, EndpointList, EndpointView, NewSecretView

ENDPOINTS, DELIVERIES = "/webhooks/endpoints", "/webhooks/deliveries"


class EndpointOptions(TypedDict, total=False):
    """The members of an endpoint, besides its URL."""

    description: str
    events: Sequence[str]
    default: bool
    include_result: bool
    max_attempts: int
    disabled: bool


class EndpointChanges(EndpointOptions, total=False):
    """The members of an endpoint that are changed."""

    url: str


def create(url: str, **options: Unpack[EndpointOptions]) -> Request[NewSecretView]:
    """Create an endpoint. The response alone has its secret."""
    return post(ENDPOINTS, view(NewSecretView), {"url": url, **options})


def page(
    state: str | None = None, event: str | None = None, limit: int | None = None, after: str | None = None
) -> Request[EndpointList]:
    """List a page of endpoints."""
    return get(ENDPOINTS, view(EndpointList), state=state, event=event, limit=limit, after=after)


def endpoints(state: str | None = None, event: str | None = None, most: int | None = None) -> Flow[None]:
    """List endpoints."""
    return all_pages(page(state, event), lambda view: view.endpoints, most)


def endpoint(endpoint_id: str) -> Request[EndpointView]:
    """Retrieve an endpoint."""
    return get(f"{ENDPOINTS}/{segment(endpoint_id)}", view(EndpointView))


def alter(endpoint_id: str, if_match: str | None = None, **changes: Unpack[EndpointChanges]) -> Request[EndpointView]:
    """Change an endpoint. `if_match`: the `etag` of a view, so that no other change is overwritten."""
    return change("PATCH", f"{ENDPOINTS}/{segment(endpoint_id)}", view(EndpointView), changes, if_match)


def delete(endpoint_id: str, if_match: str | None = None) -> Request[None]:
    """Delete an endpoint."""
    return change("DELETE", f"{ENDPOINTS}/{segment(endpoint_id)}", nothing, None, if_match)


def rotate(endpoint_id: str, overlap_seconds: int | None = None) -> Request[NewSecretView]:
    """Give an endpoint a new secret; the old ones are valid until the overlap is over."""
    body: dict[str, Any] = {} if overlap_seconds is None else {"overlap_seconds": overlap_seconds}
    return post(f"{ENDPOINTS}/{segment(endpoint_id)}/rotate", view(NewSecretView), body)


def test(endpoint_id: str) -> Request[JobAccepted]:
    """Send an event of the type `webhook.test`."""
    return post(f"{ENDPOINTS}/{segment(endpoint_id)}/test", view(JobAccepted))


def delivery_page(
    endpoint_id: str | None = None, status: str | None = None, limit: int | None = None, cursor: str | None = None
) -> Request[DeliveryList]:
    """List a page of deliveries, newest first."""
    filters: dict[str, Any] = {"endpoint_id": endpoint_id, "status": status}
    return get(DELIVERIES, view(DeliveryList), limit=limit, cursor=cursor, **filters)


def deliveries(endpoint_id: str | None = None, status: str | None = None, most: int | None = None) -> Flow[None]:
    """List deliveries, newest first."""
    return all_pages(delivery_page(endpoint_id, status), lambda view: view.deliveries, most)


def redeliver(delivery_id: str) -> Request[JobAccepted]:
    """Deliver an event once more."""
    return post(f"{DELIVERIES}/{segment(delivery_id)}/redeliver", view(JobAccepted))
