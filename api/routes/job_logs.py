"""Retrieve or follow the log of a job: what its attempts have logged and printed."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views import job_logs as view
from api.views.job_logs import JobLogQuery, JobLogView
from api.watch.job_stream import LAST_EVENT_ID
from api.watch.log_stream import CONTENT, LAST_EVENT_ID_PARAMETER, JobLog, LogStream, check_run, read_page
from api.web.problem_kinds import INVALID_PARAMETER, JOB_NOT_FOUND, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS
from api.web.problems import problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import Scope

router = APIRouter(tags=["jobs"], route_class=SecuredRoute)
_RESPONSES = {
    **problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING_CLIENTS, STORE_UNAVAILABLE),
    200: {
        "description": "A page of lines. With `follow`: a stream of `line` events, and `end` when the job has ended. "
        "Lines that begin with a colon are heartbeats.",
        "content": {"application/json": {}, **CONTENT},
    },
    204: {"description": "With `follow`: the job has ended, and Last-Event-ID names its last line."},
}


@router.get("/jobs/{job_id}/logs/", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/logs",
    response_model=JobLogView,
    responses=_RESPONSES,
    openapi_extra={"parameters": [LAST_EVENT_ID_PARAMETER]},
)
@requires(Scope.JOBS_PAYLOAD)
async def get_job_logs(job_id: UUID, request: Request, query: Annotated[JobLogQuery, Query()]) -> Response:
    """Retrieve the lines that a job's operation has logged and printed, oldest first.

    Of each attempt the last JOBPROC_JOB_LOG_BYTES bytes are kept, and go with the job. A line is here within a second;
    a page may be short, and `next` continues from there.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    resumed_at = query.start(request.headers.get(LAST_EVENT_ID))  # a malformed one is refused, also without `follow`
    if query.follow:
        log = JobLog(tenant, job_id, resumed_at, query.attempt)
        return LogStream(request, log, services.pool, services.watchers, services.settings)
    after = query.start(None)
    page = await read_page(services.pool, services.settings, tenant, job_id, after, query.attempt)
    check_run(page)
    return JsonResponse(view.response_body(job_id, root_path(request.scope), query, after, page))
