"""Retrieve the input and the result of a job, of any size, and the results of many jobs."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.schemas import ManyResultsBody, ManyResultsView, ResultView
from api.services import get_services
from api.views import job_detail
from api.views.job_schema import InputView
from api.watch.long_poll import WAIT_PARAMETER, requested_wait_s, respond_when_finished, result_body
from api.web import responses
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    INVALID_BODY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    OVERLOADED,
    STORE_UNAVAILABLE,
    TOO_MANY_WAITING_CLIENTS,
)
from api.web.problems import field_problem, problem_responses, validated
from api.web.responses import JsonResponse
from common.domain.errors import JobNotFound
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.jobs import reads
from common.store.jobs.reads import JobSnapshot

router = APIRouter(tags=["jobs"], route_class=SecuredRoute)
MAX_RUN = 32_767  # a job has no more manual retries
MAX_IDS = 500  # jobs read in one statement: about 5 ms

_RESPONSES = {
    **problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE),
    **responses.CONDITIONAL_RESPONSES,
}
_LONG_POLL_RESPONSES = {
    **problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS),
    **responses.CONDITIONAL_RESPONSES,
}
_MANY_RESPONSES = problem_responses(*BODY_PROBLEMS, OVERLOADED, STORE_UNAVAILABLE)
_MANY_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": ManyResultsBody.model_json_schema()}},
    }
}
_Run = Annotated[
    int | None,
    Query(ge=0, le=MAX_RUN, description="The number of a run; 0 is the first. Default: the newest one.", examples=[0]),
]


@router.get("/jobs/{job_id}/input/", include_in_schema=False)
@router.get("/jobs/{job_id}/input", response_model=InputView, responses=_RESPONSES)
@requires(Scope.JOBS_PAYLOAD)
async def get_job_input(job_id: UUID, request: Request, run: _Run = None) -> Response:
    """Retrieve the input with which a run of a job began, by default its newest run."""
    services, tenant = get_services(request), principal_of(request).tenant
    found = await services.pool.run(lambda connection: reads.run_input(connection, tenant, job_id, run), Lane.BY_ID)
    if found is None:
        raise JobNotFound
    newest_run = found.revision.run
    if found.run > newest_run:
        raise field_problem(INVALID_PARAMETER, [("run", f"the number of a run, 0 to {newest_run}, is expected")], 1)
    body = job_detail.input_body(job_id, found.run, found.text)
    return responses.conditional(request, found.revision, body, "" if found.text is not None else ".removed")


@router.get("/jobs/{job_id}/result/", include_in_schema=False)
@router.get(
    "/jobs/{job_id}/result",
    response_model=ResultView,
    responses=_LONG_POLL_RESPONSES,
    openapi_extra={"parameters": [WAIT_PARAMETER]},
)
@requires(Scope.JOBS_PAYLOAD)
async def get_job_result(job_id: UUID, request: Request) -> Response:
    """Retrieve the result of a job. It is null until the job has succeeded; `status` and `error` have the reason.

    With `wait` the request is a long poll: the response is sent when the job has ended, or when the time is up.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    if wait_s := requested_wait_s(request, services.settings):
        with services.watchers.slot(request):
            return await respond_when_finished(request, services.watchers, job_id, wait_s)
    result = await services.pool.run(lambda connection: reads.result(connection, tenant, job_id), Lane.BY_ID)
    if result is None:
        raise JobNotFound
    return responses.conditional(request, result.revision, result_body(job_id, result))


@router.post("/jobs/results/", include_in_schema=False)
@router.post("/jobs/results", response_model=ManyResultsView, responses=_MANY_RESPONSES, openapi_extra=_MANY_BODY)
@requires(Scope.JOBS_PAYLOAD)
async def read_job_results(request: Request) -> Response:
    """Retrieve the results of many jobs: of those that have ended. Nothing is changed.

    A client that waits for hundreds of jobs asks for all that it still waits for, in one request. A result of more than
    4 KiB is omitted. To wait for the end of many jobs, submit them as a batch.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    async with services.bodies.json(request) as value:
        ids = list(dict.fromkeys(validated(ManyResultsBody, value).job_ids))
    if len(ids) > (most := services.settings.results_max_jobs):
        raise field_problem(INVALID_BODY, [("job_ids", f"at most {most} ids are expected")], 1)
    ended: list[bytes] = []
    not_found: list[str] = []
    for first in range(0, len(ids), MAX_IDS):
        chunk = [(tenant, job_id) for job_id in ids[first : first + MAX_IDS]]
        found = await services.pool.run(partial(reads.snapshots, job_ids=chunk), Lane.BY_ID)
        for _, job_id in chunk:
            snapshot = found.get((tenant, str(job_id)))
            if snapshot is None:
                not_found.append(f'"{job_id}"')
            elif snapshot.is_finished:
                ended.append(_ended_job(job_id, snapshot))
    unfinished = len(ids) - len(ended) - len(not_found)
    body = b'{"ended":[%b],"unfinished":%d,"not_found":[%b]}'
    return JsonResponse(body % (b",".join(ended), unfinished, ",".join(not_found).encode()), 200)


def _ended_job(job_id: UUID, snapshot: JobSnapshot) -> bytes:
    facts = b',"attempt":%d,"result_omitted":%b}' % (
        snapshot.attempt,
        b"true" if snapshot.is_result_large else b"false",
    )
    return result_body(job_id, snapshot.job_result)[:-1] + facts
