"""Submit jobs and retrieve them."""

from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from api.auth.access import check_scope
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, public, requires
from api.limits.path_prefix import root_path
from api.limits.quotas.quotas import Admission
from api.routes.batches.submission import accepted_batch, is_atomic, submit_ndjson
from api.schemas import BatchAccepted, JobAccepted, StatusView, ValidSubmission
from api.services import Services, get_services
from api.submit.batches.bodies import batch_body, make_batch_id, new_batch, parse_jobs
from api.submit.batches.ndjson import is_ndjson
from api.submit.documentation import (
    BATCH_OR_ARRAY_SCHEMA,
    BATCH_PROBLEMS,
    EXISTING_JOB,
    EXISTING_JOBS,
    JOB_PROBLEMS,
    VALIDATION_BODY,
    VALIDATION_PROBLEMS,
    batch_submission_body,
    submission_body,
)
from api.submit.idempotency import REPLAYED_HEADER, idempotency_key
from api.submit.parsing import initial_state
from api.submit.request_models import SUBMISSION_SCHEMA
from api.views import job_detail
from api.views.job_schema import JobView
from api.watch.long_poll import (
    WAIT_PARAMETER,
    requested_wait_s,
    respond_if_finished,
)
from api.web import responses
from api.web.problem_kinds import INVALID_PARAMETER, JOB_NOT_FOUND, METHOD_NOT_ALLOWED, STORE_UNAVAILABLE
from api.web.problems import ProblemError, problem_responses
from api.web.responses import Headers, JsonResponse
from common.domain.errors import JobNotFound
from common.domain.job import NewJob
from common.domain.states import State
from common.domain.tenancy.scopes import Scope
from common.store.batches.submission import NewBatchRow
from common.store.connection.lanes import Lane
from common.store.jobs import reads
from common.store.jobs.keyed_insert import IdempotencyKey
from common.store.jobs.reads import JobRevision

router = APIRouter(tags=["jobs"], route_class=SecuredRoute)


@router.post("/jobs", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/",
    status_code=202,
    response_model=JobAccepted,
    responses=EXISTING_JOB | JOB_PROBLEMS,
    openapi_extra=submission_body(SUBMISSION_SCHEMA, WAIT_PARAMETER),
)
@requires(Scope.JOBS_WRITE)
async def submit_job(request: Request) -> Response:
    """Submit a job. The response has its id; a worker runs it.

    With status 202 the job is committed to the database and survives any crash.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    tenant = caller.tenant
    if wait_s := requested_wait_s(request, services.settings):
        check_scope(caller, Scope.JOBS_PAYLOAD)  # the response has the result
    async with services.bodies.json(request) as body:
        key, job = idempotency_key(request, body, services.settings), await services.parser.parse(body, caller)
    del body  # in memory a parsed body takes up to 25 times its bytes: it does not wait for the commit
    if services.backpressure.limit_s:
        await services.backpressure.check(tenant, (job.queue,))
    admission = await services.quotas.admit(tenant, (job,))
    if key is None and job.options is None and not wait_s:  # the fast path of most submissions
        with admission:
            await services.group_commit.submit(job, tenant)
        return _accepted(job.id, State.PENDING, 202)
    if wait_s:
        with (
            services.watchers.slot(request),
            services.watchers.watch(request, job.id, on_every_change=False, unstored=True) as watcher,
        ):
            accepted = await _store(services, tenant, job, key, admission)
            job_id = accepted[0]
            own_watcher = watcher if job_id == job.id else None  # None: an existing job is returned
            return await respond_if_finished(
                request, services.watchers, job_id, wait_s, accepted[3], own_watcher
            ) or _accepted(*accepted)
    return _accepted(*await _store(services, tenant, job, key, admission))


@router.post("/jobs/validate/", include_in_schema=False)
@router.post("/jobs/validate", responses=VALIDATION_PROBLEMS, openapi_extra=VALIDATION_BODY)
@requires(Scope.JOBS_WRITE)
async def validate_job(request: Request) -> ValidSubmission:
    """Validate a submission and store nothing. The response has what would be stored.

    The body, the operation, its input and the options are checked as by POST /jobs/. Quotas, unique keys, limits of
    late queues and rates are not.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    async with services.bodies.json(request) as body:
        job = await services.parser.parse(body, caller)
    return ValidSubmission(
        operation=job.operation,
        version=job.version,
        queue=job.queue,
        priority=job.priority,
        max_attempts=job.max_attempts,
        timeout_seconds=None if job.timeout_ms is None else job.timeout_ms / 1_000,
        status=initial_state(job),
    )


async def _store(
    services: Services, tenant: int, job: NewJob, key: IdempotencyKey | None, admission: Admission
) -> tuple[UUID, str, int, Headers]:
    """Store a job; return the response: a job id, a state, an HTTP status and headers."""
    if key is None and (job.options is None or job.options.unique is None):
        with admission:
            await services.group_commit.submit(job, tenant)
        return job.id, initial_state(job), 202, ()
    with admission:
        outcome = await services.group_commit.submit_once([job], key, tenant)
        admission.keep(outcome.inserted)
    (job_id,) = outcome.ids
    if outcome.inserted:
        return job_id, initial_state(job), 202, ()
    row = await services.pool.run(lambda connection: reads.status(connection, tenant, job_id), Lane.BY_ID)
    if row is None:
        raise JobNotFound  # the job of the key was removed; it must not run a second time
    return job_id, row[0].status, 200, REPLAYED_HEADER if outcome.replayed else ()


def _accepted(job_id: UUID, state: str, status: int, headers: Headers = ()) -> Response:
    return JsonResponse(b'{"job_id":"%b","status":"%b"}' % (str(job_id).encode(), state.encode()), status, headers)


@router.post("/jobs/batch/", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/batch",
    status_code=202,
    response_model=BatchAccepted,
    responses=EXISTING_JOBS | BATCH_PROBLEMS,
    openapi_extra=batch_submission_body(BATCH_OR_ARRAY_SCHEMA),
)
@requires(Scope.JOBS_WRITE)
async def submit_batch(request: Request) -> Response:
    """Submit up to 10,000 jobs in one transaction, all or none. They are a batch, which is closed.

    The response has their ids, in the order of the submissions, and that of the batch: see GET /batches/{batch_id}.
    The body may be an object with the submissions as `jobs` and with a `follow_up`, a submission that is stored once
    when all jobs have ended; its metadata then have the `batch_id`. A body of NDJSON, with a submission a line, may
    have up to JOBPROC_MAX_NDJSON_JOBS; see `atomic`. Two of the jobs may not want the same unique key,
    unless the later one has `on_conflict` `return`, or holds the key only while it runs.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    is_atomic(request)  # checked for any body
    if is_ndjson(request):
        return await submit_ndjson(request, None)
    tenant, batch_id = caller.tenant, make_batch_id()
    async with services.bodies.json(request) as value:
        key = idempotency_key(request, value, services.settings)
        body = batch_body(value)
        batch = await new_batch(services.parser, caller, batch_id, body.options, closed=True)
        jobs = await parse_jobs(services.parser, caller, body, batch_id, services.settings.max_batch_jobs)
        body.submissions.clear()  # they take up ten times the bytes of the body
        await services.backpressure.check(tenant, (job.queue for job in jobs))
        row = NewBatchRow(batch, len(jobs))
        with await services.quotas.admit(tenant, [*jobs, *batch.follow_ups]) as admission:
            outcome = await services.group_commit.submit_once(jobs, key, tenant, row)
            admission.keep([*outcome.inserted, *(() if outcome.replayed else batch.follow_ups)])
    return accepted_batch(request, outcome)


_NOT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


@router.api_route("/jobs/batch", methods=_NOT_POST, include_in_schema=False)
@router.api_route("/jobs/batch/", methods=_NOT_POST, include_in_schema=False)
@public
async def reject_batch_method() -> None:
    """Refuse other methods; otherwise `batch` would be parsed as a job id."""
    raise ProblemError(METHOD_NOT_ALLOWED, headers={"Allow": "POST"})


_READ_RESPONSES = {
    **problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE),
    **responses.CONDITIONAL_RESPONSES,
}


@router.get("/jobs/{job_id}/status/", include_in_schema=False)
@router.get("/jobs/{job_id}/status", response_model=StatusView, responses=_READ_RESPONSES)
@requires(Scope.JOBS_READ)
async def get_job_status(job_id: UUID, request: Request) -> Response:
    """Retrieve the state of a job, and the progress that its running attempt has reported."""
    services, tenant = get_services(request), principal_of(request).tenant
    row = await services.pool.run(lambda connection: reads.status(connection, tenant, job_id), Lane.BY_ID)
    if row is None:
        raise JobNotFound
    revision, fraction, text = row
    if fraction is None and text is None:
        return responses.conditional(request, revision, b'{"status":"%b"}' % revision.status.encode())
    return responses.conditional(
        request, revision, orjson.dumps({"status": revision.status, "progress": {"fraction": fraction, "text": text}})
    )


@router.get("/jobs/{job_id}/", include_in_schema=False)
@router.get("/jobs/{job_id}", response_model=JobView, responses=_READ_RESPONSES)
@requires(Scope.JOBS_READ)
async def get_job(job_id: UUID, request: Request) -> Response:
    """Retrieve a job with its options, attempts and history.

    All of the response comes from one snapshot of the database. A large input or result is omitted; `links` lead to it.
    Without the scope jobs:payload all of them are omitted.
    """
    services, caller = get_services(request), principal_of(request)
    inline_bytes, with_payload = services.settings.job_inline_bytes, Scope.JOBS_PAYLOAD in caller.scopes
    row = await services.pool.run(
        lambda connection: reads.job(
            connection, caller.tenant, job_id, inline_bytes=inline_bytes, with_payload=with_payload
        ),
        Lane.BY_ID,
    )
    if row is None:
        raise JobNotFound
    return responses.conditional(
        request,
        JobRevision(row["status"], row["run"], row["rev"]),
        job_detail.response_body(row, root_path(request.scope)),
        job_detail.etag_suffix(row, with_payload=with_payload),
    )
