"""Direct jobs that are there: cancel, retry."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import orjson
from fastapi import APIRouter, Request, Response

from api.schemas import Cancellation, Retried
from api.services import Services, services
from api.submit.parsing import RERUN
from api.web.problems import (
    INPUT_REMOVED,
    INVALID,
    INVALID_ID,
    JOB_NOT_FOUND,
    MALFORMED,
    MEDIA,
    NOT_RETRYABLE,
    TIMEOUT,
    TOO_LARGE,
    UNAVAILABLE,
    UNIQUE,
    UNKNOWN_OPERATION,
    documented,
)
from api.web.request_body import read_json_if_any
from api.web.responses import Json
from common.domain.errors import JobNotFound, NotRetryable, StoreUnavailable, Uncertain
from common.domain.states import State
from common.store.jobs import cancel_retry

T = TypeVar("T")
router = APIRouter(tags=["jobs"])

_CANCEL = documented(JOB_NOT_FOUND, INVALID_ID, UNAVAILABLE)
_ASKED: dict[int | str, dict[str, Any]] = {
    200: {"description": "The job has ended: now, or before"},
    202: {"model": Cancellation, "description": "The job runs and is asked to stop"},
}
_RETRY = documented(
    JOB_NOT_FOUND, INVALID_ID, NOT_RETRYABLE, INPUT_REMOVED, UNIQUE, MALFORMED, TIMEOUT, TOO_LARGE, MEDIA, INVALID, UNKNOWN_OPERATION, UNAVAILABLE
)
_INPUT = {"requestBody": {"required": False, "content": {"application/json": {"schema": RERUN}}}}


async def _ask(to: Services, work: Callable[[asyncpg.Connection], Awaitable[T | None]]) -> T:
    """Return what a job that is there was asked. Raises JobNotFound, and Uncertain when the answer was lost."""
    try:
        found = await to.pool.read(work)
    except StoreUnavailable as error:
        raise Uncertain from error
    if found is None:
        raise JobNotFound
    return found


@router.post("/jobs/{job_id}/cancel/", include_in_schema=False)
@router.post("/jobs/{job_id}/cancel", response_model=Cancellation, responses={**_ASKED, **_CANCEL})
async def cancel(job_id: UUID, request: Request) -> Response:
    """End a job before it succeeds; as often as you like.

    A job that waits ends CANCELLED at once and never runs. One that runs is asked to stop: 202, and it ends CANCELLED, whatever the
    attempt leads to. One that has ended stays as it is: 200 with its state.
    """
    to = services(request)
    state = await _ask(to, lambda connection: cancel_retry.cancel(connection, job_id))
    to.waiting.tell([str(job_id)])
    asked = state is State.IN_PROGRESS
    return Json(orjson.dumps({"job_id": job_id, "status": state, "cancel_requested": asked}), 202 if asked else 200)


@router.post("/jobs/{job_id}/retry/", status_code=202, include_in_schema=False)
@router.post("/jobs/{job_id}/retry", status_code=202, response_model=Retried, responses=_RETRY, openapi_extra=_INPUT)
async def retry(job_id: UUID, request: Request) -> Response:
    """Run a job that has FAILED or was CANCELLED once more, from its first attempt on.

    With the input that it had, or with a new one; what was before stays readable. Of two such requests at once one is answered 202.
    """
    to = services(request)
    value, text = await read_json_if_any(request, to.settings), None
    if value != {}:
        operation = await _ask(to, lambda connection: cancel_retry.operation(connection, job_id))
        text = await to.submissions.rerun(value, operation)
    made = await _ask(to, lambda connection: cancel_retry.rerun(connection, job_id, text))
    to.waiting.tell([str(job_id)])
    if made.epoch is None:
        raise NotRetryable(made.state)
    to.doorbells.due(made.queue, 1)
    return Json(orjson.dumps({"job_id": job_id, "status": State.PENDING, "epoch": made.epoch}), 202)
