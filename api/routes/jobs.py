"""Submit jobs, look at them."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from api.schemas import BatchAccepted, JobAccepted, JobView, ResultView, StatusView
from api.services import Services, get_services
from api.submit.idempotency import PARAMETER, REPLAYED_HEADER, idempotency_key
from api.submit.parsing import SUBMISSION_SCHEMA as SUBMISSION
from api.submit.parsing import initial_state
from api.views import job_detail
from api.watch.long_poll import PARAMETER as WAIT
from api.watch.long_poll import requested_wait_s, respond_if_finished, respond_when_finished, result_body
from api.web import responses
from api.web.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    IDEMPOTENCY_KEY_REUSED,
    INVALID_BODY,
    INVALID_IDEMPOTENCY_KEY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    MALFORMED_JSON,
    METHOD_NOT_ALLOWED,
    OVERLOADED,
    QUEUE_LATE,
    STORE_UNAVAILABLE,
    TOO_MANY_WAITING,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
    UNSUPPORTED_MEDIA_TYPE,
    ProblemError,
    field_problem,
    problem_responses,
)
from api.web.request_body import read_json
from api.web.responses import JsonResponse
from common.domain.errors import JobNotFound
from common.domain.job import NewJob
from common.domain.states import State
from common.store.jobs import reads
from common.store.jobs.keyed_insert import IdempotencyKey
from common.store.jobs.reads import JobRevision

router = APIRouter(tags=["jobs"])
Headers = tuple[tuple[bytes, bytes], ...]
YIELD_AFTER_JOBS = 500  # submissions of a batch, about 3 ms

_BODY = (
    MALFORMED_JSON,
    UNIQUE_CONFLICT,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_BODY,
    UNKNOWN_OPERATION,
    INVALID_IDEMPOTENCY_KEY,
    IDEMPOTENCY_KEY_REUSED,
    QUEUE_LATE,
    STORE_UNAVAILABLE,
    OVERLOADED,
)


_REFUSED = problem_responses(*_BODY)
_SINGLE = problem_responses(*_BODY, JOB_NOT_FOUND, INVALID_PARAMETER, TOO_MANY_WAITING)  # not found: the job of its Idempotency-Key, which has been removed


def _existing_job_response(model: Any, more: str = "") -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": f"{more}What was there: of the same Idempotency-Key, or of the same unique key."}}


def _json_body(schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    # These routes read their body themselves: the framework's own reading has no limits and echoes the input in errors.
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, "parameters": [PARAMETER, *parameters]}


_MANY = {"type": "array", "items": SUBMISSION, "minItems": 1, "maxItems": 10_000, "examples": [[{"data": [1, 2, 3], "operation": "square_sum"}]]}


@router.post("/jobs", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/",
    status_code=202,
    response_model=JobAccepted,
    responses=_existing_job_response(JobAccepted | ResultView, "With `wait`: the job has ended. ") | _SINGLE,
    openapi_extra=_json_body(SUBMISSION, WAIT),
)
async def submit_job(request: Request) -> Response:
    """Store a job and answer its id; a worker runs it.

    202 means committed: the job survives whatever happens next.
    """
    services = get_services(request)
    wait_s = requested_wait_s(request, services.settings)
    body = await read_json(request, services.settings)
    key, job = idempotency_key(request, body, services.settings), await services.parser.parse(body)
    if services.backpressure.limit_s:
        await services.backpressure.check((job.queue,))
    if key is None and job.options is None and not wait_s:  # most are so, and each step costs all of them
        await services.group_commit.submit(job)
        return _accepted(job.id, State.PENDING, 202)
    if wait_s:
        with services.watchers.slot(), services.watchers.watch(request, job.id, on_every_change=False, new=True) as watcher:
            accepted = await _store(services, job, key)
            new = watcher if accepted[0] == job.id else None  # else it is one that was there
            return await respond_if_finished(request, services.watchers, accepted[0], wait_s, new) or _accepted(*accepted)
    return _accepted(*await _store(services, job, key))


async def _store(services: Services, job: NewJob, key: IdempotencyKey | None) -> tuple[UUID, str, int, Headers]:
    """Store a job; returns what is answered: an id, a state, a status and headers."""
    if key is None and (job.options is None or job.options.unique is None):
        await services.group_commit.submit(job)
        return job.id, initial_state(job), 202, ()
    stored = await services.group_commit.submit_once([job], key)
    (job_id,) = stored.ids
    if stored.inserted:
        return job_id, initial_state(job), 202, ()
    found = await services.pool.run(lambda connection: reads.status(connection, job_id))
    if found is None:
        raise JobNotFound  # removed: it is not to run a second time
    return job_id, found[0].status, 200, REPLAYED_HEADER if stored.replayed else ()


def _accepted(job_id: UUID, state: str, status: int, headers: Headers = ()) -> Response:
    return JsonResponse(b'{"job_id":"%b","status":"%b"}' % (str(job_id).encode(), state.encode()), status, headers)


@router.post("/jobs/batch/", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/batch", status_code=202, response_model=BatchAccepted, responses=_existing_job_response(BatchAccepted) | _REFUSED, openapi_extra=_json_body(_MANY)
)
async def submit_batch(request: Request) -> Response:
    """Store up to 10,000 jobs in one transaction, all or none; answers their ids in order."""
    services = get_services(request)
    values = await read_json(request, services.settings)
    key = idempotency_key(request, values, services.settings)
    if not isinstance(values, list) or not 1 <= len(values) <= services.settings.max_batch_jobs:
        raise field_problem(INVALID_BODY, [("", f"an array of 1 to {services.settings.max_batch_jobs} submissions is expected")], 1)
    jobs = []
    for at, value in enumerate(values):
        if at % YIELD_AFTER_JOBS == 0:
            await asyncio.sleep(0)  # others have their turn
        jobs.append(await services.parser.parse(value, f"{at}."))
    await services.backpressure.check(job.queue for job in jobs)
    ids, status, headers = [job.id for job in jobs], 202, Headers()
    if key is not None or any(job.options is not None and job.options.unique is not None for job in jobs):
        stored = await services.group_commit.submit_once(jobs, key)
        ids, status, headers = stored.ids, 200 if not stored.inserted else 202, REPLAYED_HEADER if stored.replayed else ()
    else:
        await services.group_commit.submit_all(jobs)
    return JsonResponse(orjson.dumps({"job_ids": ids, "status": State.PENDING}), status, headers)


_NOT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


@router.api_route("/jobs/batch", methods=_NOT_POST, include_in_schema=False)
@router.api_route("/jobs/batch/", methods=_NOT_POST, include_in_schema=False)
async def reject_batch_method() -> None:
    """Refuse the method: without this, `batch` would be read as an id."""
    raise ProblemError(METHOD_NOT_ALLOWED, headers={"Allow": "POST"})


_READ = {**problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE), **responses.CONDITIONAL_RESPONSES}
_READ_OR_FULL = {**problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE, TOO_MANY_WAITING), **responses.CONDITIONAL_RESPONSES}


@router.get("/jobs/{job_id}/status/", include_in_schema=False)
@router.get("/jobs/{job_id}/status", response_model=StatusView, responses=_READ)
async def get_job_status(job_id: UUID, request: Request) -> Response:
    """Say where a job is, and how far its running attempt says it is."""
    services = get_services(request)
    found = await services.pool.run(lambda connection: reads.status(connection, job_id))
    if found is None:
        raise JobNotFound
    moment, fraction, text = found
    if fraction is None and text is None:
        return responses.conditional(request, moment, b'{"status":"%b"}' % moment.status.encode())
    return responses.conditional(request, moment, orjson.dumps({"status": moment.status, "progress": {"fraction": fraction, "text": text}}))


@router.get("/jobs/{job_id}/result/", include_in_schema=False)
@router.get("/jobs/{job_id}/result", response_model=ResultView, responses=_READ_OR_FULL, openapi_extra={"parameters": [WAIT]})
async def get_job_result(job_id: UUID, request: Request) -> Response:
    """Return a job's result; null until there is one, and the status says why."""
    services = get_services(request)
    if wait_s := requested_wait_s(request, services.settings):
        with services.watchers.slot():
            return await respond_when_finished(request, services.watchers, job_id, wait_s)
    found = await services.pool.run(lambda connection: reads.result(connection, job_id))
    if found is None:
        raise JobNotFound
    moment, text = found
    return responses.conditional(request, moment, result_body(job_id, moment.status, text))


@router.get("/jobs/{job_id}/", include_in_schema=False)
@router.get("/jobs/{job_id}", response_model=JobView, responses=_READ)
async def get_job(job_id: UUID, request: Request) -> Response:
    """Return everything that is known of a job, as it was in one moment."""
    services = get_services(request)
    found = await services.pool.run(lambda connection: reads.job(connection, job_id))
    if found is None:
        raise JobNotFound
    moment = JobRevision(found["status"], found["epoch"], found["rev"])
    return responses.conditional(request, moment, job_detail.job_view(found).model_dump_json(by_alias=True).encode(), job_detail.etag_suffix(found))
