"""Submit jobs, look at them."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from api import answers, detail
from api.answers import Json
from api.body import read_json
from api.dependencies import Services, services
from api.problems import (  # fmt: skip
    INVALID,
    INVALID_ID,
    JOB_NOT_FOUND,
    MALFORMED,
    MEDIA,
    METHOD,
    OVERLOADED,
    TIMEOUT,
    TOO_LARGE,
    UNAVAILABLE,
    UNKNOWN_OPERATION,
    ProblemError,
    documented,
    named,
)
from api.schemas import Accepted, BatchAccepted, JobView, Result, Status
from api.submissions import SCHEMA as SUBMISSION
from api.submissions import first_state
from common.domain.errors import JobNotFound
from common.domain.states import State
from common.store import read
from common.store.read import Moment

router = APIRouter(tags=["jobs"])
CHECKED_AT_ONCE = 500  # submissions of a batch, about 3 ms

_BODY = (MALFORMED, TIMEOUT, TOO_LARGE, MEDIA, INVALID, UNKNOWN_OPERATION, UNAVAILABLE, OVERLOADED)


def _json_body(schema: dict[str, Any]) -> dict[str, Any]:
    # These routes read their body themselves: the framework's own reading has no limits and echoes the input in errors.
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


_MANY = {"type": "array", "items": SUBMISSION, "minItems": 1, "maxItems": 10_000, "examples": [[{"data": [1, 2, 3], "operation": "square_sum"}]]}


@router.post("/jobs", status_code=202, include_in_schema=False)
@router.post("/jobs/", status_code=202, response_model=Accepted, responses=documented(*_BODY), openapi_extra=_json_body(SUBMISSION))
async def submit(request: Request) -> Response:
    """Store a job and answer its id; a worker runs it.

    202 means committed: the job survives whatever happens next.
    """
    to = services(request)
    job = await to.submissions.job(await read_json(request, to.settings))
    await to.intake.submit(job)
    return Json(b'{"job_id":"%b","status":"%b"}' % (str(job.id).encode(), first_state(job).encode()), 202)


@router.post("/jobs/batch/", status_code=202, include_in_schema=False)
@router.post("/jobs/batch", status_code=202, response_model=BatchAccepted, responses=documented(*_BODY), openapi_extra=_json_body(_MANY))
async def submit_batch(request: Request) -> Response:
    """Store up to 10,000 jobs in one transaction, all or none; answers their ids in order."""
    to = services(request)
    values = await read_json(request, to.settings)
    if not isinstance(values, list) or not 1 <= len(values) <= to.settings.max_batch_jobs:
        raise named(INVALID, [("", f"an array of 1 to {to.settings.max_batch_jobs} submissions is expected")], 1)
    jobs = []
    for at, value in enumerate(values):
        if at % CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)  # others have their turn
        jobs.append(await to.submissions.job(value, f"{at}."))
    await to.intake.submit_all(jobs)
    return Json(orjson.dumps({"job_ids": [job.id for job in jobs], "status": State.PENDING}), 202)


_NOT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


@router.api_route("/jobs/batch", methods=_NOT_POST, include_in_schema=False)
@router.api_route("/jobs/batch/", methods=_NOT_POST, include_in_schema=False)
async def no_batch() -> None:
    """Refuse the method: without this, `batch` would be read as an id."""
    raise ProblemError(METHOD, headers={"Allow": "POST"})


_Services = Annotated[Services, Depends(services)]
_READ = {**documented(JOB_NOT_FOUND, INVALID_ID, UNAVAILABLE), **answers.CONDITIONAL}


@router.get("/jobs/{job_id}/status/", include_in_schema=False)
@router.get("/jobs/{job_id}/status", response_model=Status, responses=_READ)
async def status(job_id: UUID, to: _Services, request: Request) -> Response:
    """Say where a job is."""
    moment = await to.pool.read(lambda connection: read.status(connection, job_id))
    if moment is None:
        raise JobNotFound
    return answers.of_moment(request, moment, b'{"status":"%b"}' % moment.status.encode())


@router.get("/jobs/{job_id}/result/", include_in_schema=False)
@router.get("/jobs/{job_id}/result", response_model=Result, responses=_READ)
async def result(job_id: UUID, to: _Services, request: Request) -> Response:
    """Return a job's result; null until there is one, and the status says why."""
    found = await to.pool.read(lambda connection: read.result(connection, job_id))
    if found is None:
        raise JobNotFound
    moment, text = found
    body = b'{"job_id":"%b","status":"%b","result":%b}' % (str(job_id).encode(), moment.status.encode(), (text or "null").encode())
    return answers.of_moment(request, moment, body)


@router.get("/jobs/{job_id}/", include_in_schema=False)
@router.get("/jobs/{job_id}", response_model=JobView, responses=_READ)
async def job(job_id: UUID, to: _Services, request: Request) -> Response:
    """Return everything that is known of a job, as it was in one moment."""
    found = await to.pool.read(lambda connection: read.job(connection, job_id))
    if found is None:
        raise JobNotFound
    moment = Moment(found["status"], found["epoch"], found["rev"])
    return answers.of_moment(request, moment, detail.view(found).model_dump_json(by_alias=True).encode())
