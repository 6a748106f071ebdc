"""What happens to a job, as it happens."""

from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.services import services
from api.watch.event_stream import PARAMETER, RESPONSES, EventStream
from api.web.problems import INVALID_ID, JOB_NOT_FOUND, TOO_MANY, UNAVAILABLE, documented

router = APIRouter(tags=["jobs"])
_RESPONSES = RESPONSES | documented(JOB_NOT_FOUND, INVALID_ID, TOO_MANY, UNAVAILABLE)


@router.get("/jobs/{job_id}/events/", include_in_schema=False)
@router.get("/jobs/{job_id}/events", response_class=Response, responses=_RESPONSES, openapi_extra={"parameters": [PARAMETER]})
async def events(job_id: UUID, request: Request) -> Response:
    """Stream what happens to a job as server-sent events, until it has ended.

    The first event is how it is. A stream that is lost goes on where `Last-Event-ID` says.
    """
    to = services(request)
    return EventStream(request, job_id, to.waiting, to.settings)
