"""Direct jobs that are there: cancel, retry."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Request, Response

from api.schemas import CancelView, RetryView
from api.services import Services, get_services
from api.submit.parsing import RETRY_SCHEMA
from api.web.problems import (
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INPUT_REMOVED,
    INVALID_BODY,
    INVALID_PARAMETER,
    JOB_NOT_FOUND,
    MALFORMED_JSON,
    NOT_RETRYABLE,
    STORE_UNAVAILABLE,
    UNIQUE_CONFLICT,
    UNKNOWN_OPERATION,
    UNSUPPORTED_MEDIA_TYPE,
    problem_responses,
)
from api.web.request_body import read_optional_json
from api.web.responses import JsonResponse
from common.domain.errors import JobNotFound, NotRetryable, OutcomeUnknown, StoreUnavailable
from common.domain.states import State
from common.store.jobs import cancel_retry

T = TypeVar("T")
router = APIRouter(tags=["jobs"])

_CANCEL = problem_responses(JOB_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE)
_ASKED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job has ended: now, or before"},
    202: {"model": CancelView, "description": "The job runs and is asked to stop"},
}
_RETRY = problem_responses(
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
    STORE_UNAVAILABLE,
)
_INPUT = {"requestBody": {"required": False, "content": {"application/json": {"schema": RETRY_SCHEMA}}}}


async def _run(services: Services, work: Callable[[asyncpg.Connection], Awaitable[T | None]]) -> T:
    """Return what a job that is there was asked. Raises JobNotFound, and Uncertain when the answer was lost."""
    try:
        found = await services.pool.run(work)
    except StoreUnavailable as error:
        raise OutcomeUnknown from error
    if found is None:
        raise JobNotFound
    return found


@router.post("/jobs/{job_id}/cancel/", include_in_schema=False)
@router.post("/jobs/{job_id}/cancel", response_model=CancelView, responses={**_ASKED, **_CANCEL})
async def cancel_job(job_id: UUID, request: Request) -> Response:
    """End a job before it succeeds; as often as you like.

    A job that waits ends CANCELLED at once and never runs. One that runs is asked to stop: 202, and it ends CANCELLED, whatever the
    attempt leads to. One that has ended stays as it is: 200 with its state.
    """
    services = get_services(request)
    state = await _run(services, lambda connection: cancel_retry.cancel_job(connection, job_id))
    services.watchers.notify([str(job_id)])
    asked = state is State.IN_PROGRESS
    return JsonResponse(orjson.dumps({"job_id": job_id, "status": state, "cancel_requested": asked}), 202 if asked else 200)


@router.post("/jobs/{job_id}/retry/", status_code=202, include_in_schema=False)
@router.post("/jobs/{job_id}/retry", status_code=202, response_model=RetryView, responses=_RETRY, openapi_extra=_INPUT)
async def retry_job(job_id: UUID, request: Request) -> Response:
    """Run a job that has FAILED or was CANCELLED once more, from its first attempt on.

    With the input that it had, or with a new one; what was before stays readable. Of two such requests at once one is answered 202.
    """
    services = get_services(request)
    value, text = await read_optional_json(request, services.settings), None
    if value != {}:
        operation = await _run(services, lambda connection: cancel_retry.operation_name(connection, job_id))
        text = await services.parser.parse_retry_input(value, operation)
    made = await _run(services, lambda connection: cancel_retry.retry_job(connection, job_id, text))
    services.watchers.notify([str(job_id)])
    if made.epoch is None:
        raise NotRetryable(made.state)
    services.doorbells.ring_soon(made.queue, 1)
    return JsonResponse(orjson.dumps({"job_id": job_id, "status": State.PENDING, "epoch": made.epoch}), 202)
