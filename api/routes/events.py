"""What happens to a job, as it happens."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.services import get_services
from api.watch.event_stream import PARAMETER, RESPONSES, EventStream
from api.web.problems import INVALID_PARAMETER, JOB_NOT_FOUND, STORE_UNAVAILABLE, TOO_MANY_WAITING, problem_responses

router = APIRouter(tags=["jobs"])
_RESPONSES = RESPONSES | problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING, STORE_UNAVAILABLE)


@router.get("/jobs/{job_id}/events/", include_in_schema=False)
@router.get("/jobs/{job_id}/events", response_class=Response, responses=_RESPONSES, openapi_extra={"parameters": [PARAMETER]})
async def stream_job_events(job_id: UUID, request: Request) -> Response:
    """Stream what happens to a job as server-sent events, until it has ended.

    The first event is how it is. A stream that is lost goes on where `Last-Event-ID` says.
    """
    services = get_services(request)
    return EventStream(request, job_id, services.watchers, services.settings)
