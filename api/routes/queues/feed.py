"""Read or follow the change feed: the state changes of jobs in followed queues."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.queues.feed import PATH, FeedPageView, FeedQuery, page_body
from api.watch.feed.reader import FeedFilter
from api.watch.feed.stream import (
    CONTENT,
    LAST_EVENT_ID_PARAMETER,
    FeedClient,
    FeedStream,
    is_stream_wanted,
    resumed_after,
    wait_for_changes,
)
from api.watch.long_poll import CLOSE_HEADER
from api.web.problem_kinds import FEED_EXPIRED, INVALID_PARAMETER, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS
from api.web.problems import field_problem, problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import Scope

router = APIRouter(tags=["events"], route_class=SecuredRoute)
_RESPONSES = {
    **problem_responses(INVALID_PARAMETER, FEED_EXPIRED, TOO_MANY_WAITING_CLIENTS, STORE_UNAVAILABLE),
    200: {
        "description": "A page of changes. With `follow`: a stream of `change` events. An id without an event says how "
        "far the stream is.",
        "content": {"application/json": {}, **CONTENT},
    },
}


@router.get(f"{PATH}/", include_in_schema=False)
@router.get(
    PATH,
    response_model=FeedPageView,
    responses=_RESPONSES,
    openapi_extra={"parameters": [LAST_EVENT_ID_PARAMETER]},
)
@requires(Scope.JOBS_READ)
async def read_events(request: Request, query: Annotated[FeedQuery, Query()]) -> Response:
    """Read the state changes of jobs in followed queues, oldest first, in one order for all readers.

    A queue is followed from the response to PATCH /queues/{queue_name} with `events: true` on. No change is left out:
    go on with `after` of the page. A page may be short, or empty, and changes are kept for JOBPROC_FEED_HOURS.
    """
    services, tenant, settings = get_services(request), principal_of(request).tenant, get_services(request).settings
    resumed = resumed_after(request)  # a malformed one is refused, also without `follow`
    if query.wait > settings.long_poll_max_seconds:
        reason = f"a number of seconds, 0 to {settings.long_poll_max_seconds:g}, is expected"
        raise field_problem(INVALID_PARAMETER, [("wait", reason)], 1)
    newest = await services.feed.number(tenant)
    after: int | None = newest if isinstance(query.after, str) else query.after
    follows = is_stream_wanted(request, follow=query.follow)
    if follows and resumed is not None:
        after = resumed
    client = FeedClient(services.feed, tenant, FeedFilter(query.queue, query.operation, query.tag), after)
    if follows:
        return FeedStream(request, client, services.watchers, settings)
    changes = await client.next(query.limit)
    if not changes and query.wait and client.after is not None:
        with services.watchers.slot(request):
            changes = await wait_for_changes(request, client, query.limit, query.wait)
    response = JsonResponse(page_body(query, changes, client.after or 0, root_path(request.scope)))
    if query.wait and services.feed.is_draining:
        response.raw_headers.append(CLOSE_HEADER)  # tells the client why it was answered early
    return response
