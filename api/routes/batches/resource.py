"""Batches: create, add jobs, close, cancel, read, list."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request, Response

from api.auth.auditing import audit_entry, log_entry
from api.auth.expensive_read import until_disconnected
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.routes.batches.submission import LOCATION, accepted_batch, is_atomic, location, submit_ndjson
from api.schemas import BatchAccepted
from api.services import Services, get_services
from api.submit.batches.bodies import (
    SubmittedBatch,
    make_batch_id,
    new_batch,
    parse_batch,
    parse_jobs,
    renumbered,
)
from api.submit.batches.ndjson import is_ndjson
from api.submit.documentation import ADD_PROBLEMS, BATCH_SCHEMA, EXISTING_JOBS, batch_submission_body
from api.submit.idempotency import idempotency_key
from api.submit.request_models import BatchBody
from api.views.batches import (
    PATH,
    BatchList,
    BatchListQuery,
    BatchView,
    batch_body,
    batch_list_body,
    etag_suffix,
)
from api.views.cursors import Cursors
from api.views.job_list import page_limit
from api.watch.long_poll import CLOSE_HEADER, WAIT_PARAMETER, requested_wait_s
from api.web import responses
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    OVERLOADED,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    TOO_MANY_WAITING_CLIENTS,
    UNKNOWN_OPERATION,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body, json_body
from api.web.resource_problem_kinds import BATCH_NOT_FOUND
from api.web.responses import JsonResponse
from common.domain.batches import range_of, state_of
from common.domain.errors import OutcomeUnknown, StoreUnavailable
from common.domain.job_search import first_id_from
from common.domain.tenancy.audit import AuditAction, AuditEntry
from common.domain.tenancy.scopes import Scope
from common.store.batches import changes, reads, submission
from common.store.batches.changes import BatchChange
from common.store.batches.submission import AddedJobs
from common.store.connection.lanes import Lane
from common.store.jobs import keyed_insert
from common.store.jobs.keyed_insert import IdempotencyKey, InsertOutcome
from common.store.jobs.reads import JobRevision

router = APIRouter(tags=["batches"], route_class=SecuredRoute)
_QUOTA_PROBLEMS = (QUOTA_EXCEEDED, QUOTA_TOO_SMALL)  # of the follow-up
_CREATE_PROBLEMS = problem_responses(
    *BODY_PROBLEMS, *_QUOTA_PROBLEMS, UNKNOWN_OPERATION, TENANT_DRAINING, OVERLOADED, STORE_UNAVAILABLE
)
_READ_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problem_responses(BATCH_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE, TOO_MANY_WAITING_CLIENTS),
    **responses.CONDITIONAL_RESPONSES,
}
_CHANGE_PROBLEMS = problem_responses(BATCH_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE)
_WAIT = WAIT_PARAMETER | {
    "description": "Seconds to wait for the end of the batch, at most JOBPROC_LONG_POLL_MAX_SECONDS (60). The response "
    "is sent when the batch has ended, or when the time is up. Default: 0."
}


@router.post("/batches/", status_code=201, include_in_schema=False)
@router.post(
    "/batches",
    status_code=201,
    response_model=BatchView,
    responses={**_CREATE_PROBLEMS, 201: {"description": "The open batch", "headers": LOCATION}},
    openapi_extra=json_body(BatchBody, required=False),
)
@requires(Scope.JOBS_WRITE)
async def create_batch(request: Request) -> Response:
    """Create an open batch without jobs.

    Add jobs with POST /batches/{batch_id}/jobs, then close it: its follow-up is stored when it is closed and all of its
    jobs have ended. A batch that is still open after JOBPROC_BATCH_OPEN_SECONDS is closed.
    """
    services, caller, batch_id = get_services(request), principal_of(request), make_batch_id()
    caller.check_may_submit()
    async with services.bodies.json(request, optional=True) as body:
        batch = await new_batch(services.parser, caller, batch_id, parse_batch(body), closed=False)
    with await services.quotas.admit(caller.tenant, batch.follow_ups):
        await services.pool.run(lambda connection: submission.insert_batch(connection, batch), Lane.INTAKE)
    row = await services.batches.read(caller.tenant, batch_id)
    return JsonResponse(batch_body(row, root_path(request.scope)), 201, [location(request, batch_id)])


@router.get("/batches/", include_in_schema=False)
@router.get(
    "/batches",
    response_model=BatchList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.JOBS_READ)
async def list_batches(request: Request, query: Annotated[BatchListQuery, Query()]) -> Response:
    """List batches, newest first, without the counts of their jobs. Follow `next` to page through the list.

    A page scans at most JOBPROC_LIST_SCAN_JOBS batches, so one may be short; `next` then continues from there.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    cursors, limit = Cursors(services.settings, tenant), page_limit(query.limit, services.settings)
    filters = query.model_dump(include={"status", "created_after", "created_before"}, exclude_none=True, mode="json")
    name = f"batches {sorted(filters.items())}"
    after = cursors.position(name, query.cursor)
    page = partial(
        reads.page,
        tenant=tenant,
        before=None if after is None else after.job_id,
        range_=(first_id_from(query.created_after), first_id_from(query.created_before)),
        state=query.status,
        limits=(limit, services.settings.list_scan_jobs),
    )
    rows, last = await services.pool.run(page, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
    root, next_path = root_path(request.scope), None
    if last is not None:
        next_path = cursors.next_path(name, f"{root}{PATH}", filters | {"limit": limit}, last)
    return JsonResponse(batch_list_body(rows, next_path, root))


@router.get("/batches/{batch_id}/", include_in_schema=False)
@router.get(
    "/batches/{batch_id}",
    response_model=BatchView,
    responses=_READ_RESPONSES,
    openapi_extra={"parameters": [_WAIT]},
)
@requires(Scope.JOBS_READ)
async def get_batch(batch_id: UUID, request: Request) -> Response:
    """Retrieve a batch with the exact counts of its jobs, all at one instant.

    With `wait` the response is sent when the batch has ended. Counts of a large batch may be as old as twenty times
    what it took to count; `counted_at` says when that was.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    wait_s = requested_wait_s(request, services.settings)
    row = await services.batches.read(tenant, batch_id)
    row = await services.batch_watchers.when_ended(request, tenant, row, wait_s)
    revision = JobRevision(state_of(row["closed_at"], row["ended_at"]), 0, row["rev"])
    response = responses.conditional(request, revision, batch_body(row, root_path(request.scope)), etag_suffix(row))
    if wait_s and services.batch_watchers.is_draining:
        response.raw_headers.append(CLOSE_HEADER)  # tells the client why it was answered early
    return response


@router.post("/batches/{batch_id}/jobs/", status_code=202, include_in_schema=False)
@router.post(
    "/batches/{batch_id}/jobs",
    status_code=202,
    response_model=BatchAccepted,
    responses=EXISTING_JOBS | ADD_PROBLEMS,
    openapi_extra=batch_submission_body(BATCH_SCHEMA),
)
@requires(Scope.JOBS_WRITE)
async def add_batch_jobs(batch_id: UUID, request: Request) -> Response:
    """Add up to 10,000 jobs to an open batch in one transaction, all or none.

    The jobs run at once: they do not wait for the batch to be closed. A body of NDJSON may have up to
    JOBPROC_MAX_NDJSON_JOBS.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    is_atomic(request)  # checked for any body
    if is_ndjson(request):
        return await submit_ndjson(request, batch_id)
    tenant, settings = caller.tenant, services.settings
    async with services.bodies.json(request) as submissions:
        key = idempotency_key(request, submissions, settings)
        if key is not None and (earlier := await _replay(services, tenant, key)) is not None:
            return accepted_batch(request, earlier)
        body = SubmittedBatch(submissions, BatchBody(), "")
        jobs = await parse_jobs(services.parser, caller, body, range_of(batch_id), settings.max_batch_jobs)
        submissions.clear()  # they take up ten times the bytes of the body
        await services.backpressure.check(tenant, (job.queue for job in jobs))
        with await services.quotas.admit(tenant, jobs) as admission:
            first = await services.ndjson.reserve(tenant, batch_id, len(jobs))
            outcome = await services.group_commit.submit_once(
                renumbered(jobs, first), key, tenant, AddedJobs(batch_id, tenant)
            )
            admission.keep(outcome.inserted)
    services.batches.forget(tenant, batch_id)
    return accepted_batch(request, outcome)


@router.post("/batches/{batch_id}/close/", include_in_schema=False)
@router.post("/batches/{batch_id}/close", response_model=BatchView, responses=_CHANGE_PROBLEMS)
@requires(Scope.JOBS_WRITE)
async def close_batch(batch_id: UUID, request: Request) -> Response:
    """Close a batch: no job can be added any more. Without jobs it ends at once. The request is safe to repeat."""
    tenant = principal_of(request).tenant
    await check_ignored_body(request, get_services(request).settings)
    entry = audit_entry(request, AuditAction.BATCH_CLOSE, batch_id)
    change = partial(changes.close, tenant=tenant, batch_id=batch_id, entry=entry, follow_up_id=new_job_id_now())
    return await _change(request, batch_id, change, entry)


@router.post("/batches/{batch_id}/cancel/", include_in_schema=False)
@router.post("/batches/{batch_id}/cancel", response_model=BatchView, responses=_CHANGE_PROBLEMS)
@requires(Scope.JOBS_CANCEL)
async def cancel_batch(batch_id: UUID, request: Request) -> Response:
    """Close a batch and cancel its jobs, in steps. The request is safe to repeat.

    Waiting jobs end CANCELLED, running ones are asked to stop. The batch ends when all of them have, and its follow-up
    is stored then too.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    await check_ignored_body(request, services.settings)
    entry = audit_entry(request, AuditAction.BATCH_CANCEL, batch_id)
    change = partial(
        changes.cancel,
        tenant=tenant,
        batch_id=batch_id,
        entry=entry,
        new_ids=(new_job_id_now(), new_job_id_now()),
        jobs_per_second=services.settings.bulk_action_max_jobs_per_second,
    )
    return await _change(request, batch_id, change, entry)


async def _replay(services: Services, tenant: int, key: IdempotencyKey) -> InsertOutcome | None:
    """Return the jobs of an earlier request with this key, which may have closed the batch meanwhile."""
    return await services.pool.run(lambda connection: keyed_insert.replay(connection, tenant, key), Lane.INTAKE)


async def _change(
    request: Request,
    batch_id: UUID,
    change: Callable[[asyncpg.Connection], Awaitable[BatchChange]],
    entry: AuditEntry,
) -> Response:
    """Change a batch, log the audit entry if that changed something, and respond with the batch."""
    services, tenant = get_services(request), principal_of(request).tenant
    try:
        outcome = await services.pool.run(change, Lane.INTAKE)
    except StoreUnavailable as error:
        raise OutcomeUnknown from error
    if outcome.has_changed:
        log_entry(entry)
    if outcome.follow_up_queue is not None:
        services.doorbells.ring_soon(outcome.follow_up_queue, 1)
    services.batches.forget(tenant, batch_id)
    row = await services.batches.read(tenant, batch_id)
    return JsonResponse(batch_body(row, root_path(request.scope)))
