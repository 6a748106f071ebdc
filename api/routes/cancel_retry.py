"""Cancel and retry jobs."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Request, Response

from api.auth.auditing import audit_entry, log_entry
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.schemas import CancelView, RetryView
from api.services import Services, get_services
from api.submit.request_models import RETRY_SCHEMA
from api.web.problem_kinds import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INPUT_REMOVED,
    INVALID_BODY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    MALFORMED_JSON,
    NOT_RETRYABLE,
    OVERLOADED,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body
from api.web.responses import JsonResponse
from common.domain.errors import JobNotFound, NotRetryable, OutcomeUnknown, StoreUnavailable
from common.domain.states import State
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.jobs import cancel_retry

T = TypeVar("T")
router = APIRouter(tags=["jobs"], route_class=SecuredRoute)

_CANCEL_PROBLEMS = problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE)
_CANCEL_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job has ended, by this request or before it"},
    202: {"model": CancelView, "description": "The job is running and was asked to stop"},
}
_RETRY_PROBLEMS = problem_responses(
    JOB_NOT_FOUND,
    INVALID_PARAMETER,
    NOT_RETRYABLE,
    INPUT_REMOVED,
    UNIQUE_CONFLICT,
    MALFORMED_JSON,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_BODY,
    UNKNOWN_OPERATION,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    TENANT_DRAINING,
    STORE_UNAVAILABLE,
    OVERLOADED,
)
_RETRY_BODY = {"requestBody": {"required": False, "content": {"application/json": {"schema": RETRY_SCHEMA}}}}


async def _run(services: Services, query: Callable[[asyncpg.Connection], Awaitable[T | None]]) -> T:
    """Return the result of a query about a job. Raises JobNotFound, or OutcomeUnknown if the answer was lost."""
    try:
        result = await services.pool.run(query, Lane.INTAKE)
    except StoreUnavailable as error:
        raise OutcomeUnknown from error
    if result is None:
        raise JobNotFound
    return result


@router.post("/jobs/{job_id}/cancel/", include_in_schema=False)
@router.post("/jobs/{job_id}/cancel", response_model=CancelView, responses={**_CANCEL_RESPONSES, **_CANCEL_PROBLEMS})
@requires(Scope.JOBS_CANCEL)
async def cancel_job(job_id: UUID, request: Request) -> Response:
    """Cancel a job. The request is safe to repeat.

    A waiting job ends CANCELLED at once and never runs. A running job is asked to stop: the response is 202, and the
    job will end CANCELLED, whatever the outcome of its attempt. A job that has ended does not change: the response is
    200 with its state.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    await check_ignored_body(request, services.settings)
    entry = audit_entry(request, AuditAction.JOB_CANCEL, job_id)
    cancel = await _run(services, lambda connection: cancel_retry.cancel_job(connection, tenant, job_id, entry))
    if cancel.has_changed:
        log_entry(entry)
    services.watchers.notify([str(job_id)])
    cancel_requested = cancel.state is State.IN_PROGRESS
    return JsonResponse(
        orjson.dumps({"job_id": job_id, "status": cancel.state, "cancel_requested": cancel_requested}),
        202 if cancel_requested else 200,
    )


@router.post("/jobs/{job_id}/retry/", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/{job_id}/retry",
    status_code=202,
    response_model=RetryView,
    responses=_RETRY_PROBLEMS,
    openapi_extra=_RETRY_BODY,
)
@requires(Scope.JOBS_WRITE)
async def retry_job(job_id: UUID, request: Request) -> Response:
    """Run a FAILED or CANCELLED job again, with all its attempts.

    The job runs with its last input, unless the body has a new one. Earlier attempts stay readable. Of several
    concurrent requests one is accepted with 202.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    tenant, input_json = caller.tenant, None
    async with services.bodies.json(request, optional=True) as body:
        if body != {}:
            operation = await _run(services, lambda connection: cancel_retry.operation_name(connection, tenant, job_id))
            input_json = await services.parser.parse_retry_input(body, operation)
    entry = audit_entry(request, AuditAction.JOB_RETRY, job_id, {"new_input": input_json is not None})
    with await services.quotas.admit_retry(tenant, input_json):
        retry = await _run(
            services, lambda connection: cancel_retry.retry_job(connection, tenant, job_id, input_json, entry)
        )
        services.watchers.notify([str(job_id)])
        if retry.run is None:
            raise NotRetryable(retry.state)
    log_entry(entry)
    services.doorbells.ring_soon(retry.queue, 1)
    return JsonResponse(orjson.dumps({"job_id": job_id, "status": State.PENDING, "run": retry.run}), 202)
