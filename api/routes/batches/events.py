"""Stream the progress of a batch."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.services import get_services
from api.watch.batch_stream import LAST_EVENT_ID_PARAMETER, RESPONSES, BatchStream
from api.web.problem_kinds import INVALID_PARAMETER, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS
from api.web.problems import problem_responses
from api.web.resource_problem_kinds import BATCH_NOT_FOUND
from common.domain.tenancy.scopes import Scope

router = APIRouter(tags=["batches"], route_class=SecuredRoute)
_RESPONSES = RESPONSES | problem_responses(
    BATCH_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS, STORE_UNAVAILABLE
)


@router.get("/batches/{batch_id}/events/", include_in_schema=False)
@router.get(
    "/batches/{batch_id}/events",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra={"parameters": [LAST_EVENT_ID_PARAMETER]},
)
@requires(Scope.JOBS_READ)
async def stream_batch_events(batch_id: UUID, request: Request) -> Response:
    """Stream the progress of a batch as server-sent events until it has ended.

    The first event is the current progress. After a lost connection, send `Last-Event-ID` to resume the stream.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    return BatchStream(request, (tenant, batch_id), services.batches, services.watchers, services.settings)
