"""Stream the events of a job."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.auth.route import SecuredRoute, requires
from api.services import get_services
from api.watch.event_stream import LAST_EVENT_ID_PARAMETER, RESPONSES, EventStream
from api.web.problem_kinds import INVALID_PARAMETER, JOB_NOT_FOUND, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS
from api.web.problems import problem_responses
from common.domain.tenancy.scopes import Scope

router = APIRouter(tags=["jobs"], route_class=SecuredRoute)
_RESPONSES = RESPONSES | problem_responses(
    JOB_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS, STORE_UNAVAILABLE
)


@router.get("/jobs/{job_id}/events/", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    responses=_RESPONSES,
    openapi_extra={"parameters": [LAST_EVENT_ID_PARAMETER]},
)
@requires(Scope.JOBS_READ)
async def stream_job_events(job_id: UUID, request: Request) -> Response:
    """Stream the state and progress of a job as server-sent events until it has ended.

    The first event is the current state. After a lost connection, send `Last-Event-ID` to resume the stream.
    """
    services = get_services(request)
    return EventStream(request, job_id, services.watchers, services.settings)
