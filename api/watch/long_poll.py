"""Long polls: the query parameter `wait`, and responses that are delayed until the job has ended."""

import re
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import orjson
from fastapi import Request, Response

from api.watch.watcher import Watcher
from api.watch.watchers import Watchers
from api.web import responses
from api.web.problem_kinds import INVALID_PARAMETER
from api.web.problems import field_problem
from api.web.responses import Headers, JsonResponse
from common.domain.errors import JobNotFound, StoreUnavailable
from common.domain.states import State
from common.settings import Settings
from common.store.jobs.reads import JobResult

PARAMETER_NAME = "wait"
CLOSE_HEADER = (b"connection", b"close")
_FORM = re.compile(r"\d{1,6}(\.\d{1,6})?")
#: The parameter in the OpenAPI document.
WAIT_PARAMETER: dict[str, Any] = {
    "name": PARAMETER_NAME,
    "in": "query",
    "required": False,
    "schema": {"type": "number", "minimum": 0},
    "description": "Seconds to wait for the end of the job, at most JOBPROC_LONG_POLL_MAX_SECONDS (60). The response "
    "is sent when the job has ended, or when the time is up. Default: 0.",
    "examples": {"half a minute": {"value": 30}},
}


def requested_wait_s(request: Request, settings: Settings) -> float:
    """Return the seconds of the parameter `wait`, 0 without it. Raises ProblemError if it is malformed or too long."""
    query = request.scope["query_string"]
    if not query:
        return 0.0
    values = parse_qs(query.decode("latin-1"), keep_blank_values=True).get(PARAMETER_NAME)
    if values is None:
        return 0.0
    if len(values) > 1 or not _FORM.fullmatch(values[0]) or float(values[0]) > settings.long_poll_max_seconds:
        reason = f"a number of seconds, 0 to {settings.long_poll_max_seconds:g}, is expected"
        raise field_problem(INVALID_PARAMETER, [(PARAMETER_NAME, reason)], 1)
    return float(values[0])


async def respond_when_finished(request: Request, watchers: Watchers, job_id: UUID, wait_s: float) -> Response:
    """Return a job's status and result once it has ended or the time is up. Raises JobNotFound or StoreUnavailable."""
    snapshot = await watchers.wait_until_finished(request, job_id, wait_s)
    result = await watchers.result(request, job_id, snapshot)
    response = responses.conditional(request, result.revision, result_body(job_id, result))
    if watchers.is_draining:
        response.raw_headers.append(CLOSE_HEADER)  # tells the client why it was answered early
    return response


async def respond_if_finished(
    request: Request,
    watchers: Watchers,
    job_id: UUID,
    wait_s: float,
    headers: Headers,
    submitted: Watcher | None = None,
) -> Response | None:
    """Return the result of a submitted job once it has ended, None if it has not, or if its state is unknown.

    `submitted` is the watcher that began before the job was stored, None for a job that existed already.
    """
    try:
        snapshot = await watchers.wait_until_finished(request, job_id, wait_s, submitted)
        return (
            JsonResponse(result_body(job_id, await watchers.result(request, job_id, snapshot)), 200, headers)
            if snapshot.is_finished
            else None
        )
    except (JobNotFound, StoreUnavailable):
        return None


def result_body(job_id: UUID, result: JobResult) -> bytes:
    """Return the response body with a job's state and its result; that of a failed job has its error too."""
    state = result.revision.status
    error = {"type": result.error_type, "text": result.error_text or ""}
    return b'{"job_id":"%b","status":"%b","result":%b%b}' % (
        str(job_id).encode(),
        state.encode(),
        (result.text or "null").encode(),
        b',"error":' + orjson.dumps(error) if state == State.FAILED else b"",
    )
