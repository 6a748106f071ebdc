"""Requests that wait for the end of a job: `wait` in their query, and what they are answered."""

import re
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import Request, Response

from api.watch.watchers import Watcher, Watchers
from api.web import responses
from api.web.problems import INVALID_PARAMETER, field_problem
from api.web.responses import JsonResponse
from common.domain.errors import JobNotFound, StoreUnavailable
from common.settings import Settings

PARAMETER_NAME = "wait"
CLOSE_HEADER = (b"connection", b"close")
_FORM = re.compile(r"\d{1,6}(\.\d{1,6})?")
#: How it stands in the OpenAPI document.
PARAMETER: dict[str, Any] = {
    "name": PARAMETER_NAME,
    "in": "query",
    "required": False,
    "schema": {"type": "number", "minimum": 0, "default": 0},
    "description": "Seconds, at most JOBPROC_MAX_WAIT_SECONDS (60): answer as soon as the job has ended, or as it is when they are over.",
    "examples": {"half a minute": {"value": 30}},
}


def requested_wait_s(request: Request, settings: Settings) -> float:
    """Return for how many seconds a request wants to wait, mostly 0. Raises ProblemError for what is no such number, or too great."""
    query = request.scope["query_string"]
    if not query:
        return 0.0
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(PARAMETER_NAME)
    if given is None:
        return 0.0
    if len(given) > 1 or not _FORM.fullmatch(given[0]) or float(given[0]) > settings.max_wait_seconds:
        raise field_problem(INVALID_PARAMETER, [(PARAMETER_NAME, f"seconds are expected, 0 to {settings.max_wait_seconds:g}")], 1)
    return float(given[0])


async def respond_when_finished(request: Request, waiting: Watchers, job_id: UUID, wait_s: float) -> Response:
    """Answer once a job has ended, or as it is when the time is up. Raises JobNotFound or StoreUnavailable."""
    seen = await waiting.wait_until_finished(request, job_id, wait_s)
    answer = responses.conditional(request, seen.revision, result_body(job_id, seen.status, await waiting.result(job_id, seen)))
    if waiting.is_draining:
        answer.raw_headers.append(CLOSE_HEADER)  # says to the client why it is answered before its time
    return answer


async def respond_if_finished(request: Request, waiting: Watchers, job_id: UUID, wait_s: float, new: Watcher | None = None) -> Response | None:
    """Answer once a job has ended that this request has submitted; None when it has not, or nobody knows: it is stored all the same.

    `new`: who has watched it since before that.
    """
    try:
        seen = await waiting.wait_until_finished(request, job_id, wait_s, new)
        return JsonResponse(result_body(job_id, seen.status, await waiting.result(job_id, seen))) if seen.is_finished else None
    except (JobNotFound, StoreUnavailable):
        return None


def result_body(job_id: UUID, state: str, text: str | None) -> bytes:
    """Return the body that shows a job's result."""
    return b'{"job_id":"%b","status":"%b","result":%b}' % (str(job_id).encode(), state.encode(), (text or "null").encode())
