"""Submit jobs, look at them."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from api.schemas import Accepted, BatchAccepted, JobView, Result, Status
from api.services import Services, services
from api.submit.idempotency import PARAMETER, REPLAYED, key_of
from api.submit.parsing import SCHEMA as SUBMISSION
from api.submit.parsing import first_state
from api.views import job_detail
from api.watch.long_poll import PARAMETER as WAIT
from api.watch.long_poll import as_it_is, ended, result_of, wait_of
from api.web import responses
from api.web.problems import (
    INVALID,
    INVALID_ID,
    INVALID_KEY,
    JOB_NOT_FOUND,
    KEY_REUSED,
    MALFORMED,
    MEDIA,
    METHOD,
    OVERLOADED,
    QUEUE_LATE,
    TIMEOUT,
    TOO_LARGE,
    TOO_MANY,
    UNAVAILABLE,
    UNIQUE,
    UNKNOWN_OPERATION,
    ProblemError,
    documented,
    named,
)
from api.web.request_body import read_json
from api.web.responses import Json
from common.domain.errors import JobNotFound
from common.domain.job import NewJob
from common.domain.states import State
from common.store.jobs import reads
from common.store.jobs.keyed_insert import Key
from common.store.jobs.reads import Moment

router = APIRouter(tags=["jobs"])
Headers = tuple[tuple[bytes, bytes], ...]
CHECKED_AT_ONCE = 500  # submissions of a batch, about 3 ms

_BODY = (MALFORMED, UNIQUE, TIMEOUT, TOO_LARGE, MEDIA, INVALID, UNKNOWN_OPERATION, INVALID_KEY, KEY_REUSED, QUEUE_LATE, UNAVAILABLE, OVERLOADED)


_REFUSED = documented(*_BODY)
_SINGLE = documented(*_BODY, JOB_NOT_FOUND, INVALID_ID, TOO_MANY)  # not found: the job of its Idempotency-Key, which has been removed


def _there(model: Any, more: str = "") -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model, "description": f"{more}What was there: of the same Idempotency-Key, or of the same unique key."}}


def _json_body(schema: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
    # These routes read their body themselves: the framework's own reading has no limits and echoes the input in errors.
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, "parameters": [PARAMETER, *parameters]}


_MANY = {"type": "array", "items": SUBMISSION, "minItems": 1, "maxItems": 10_000, "examples": [[{"data": [1, 2, 3], "operation": "square_sum"}]]}


@router.post("/jobs", status_code=202, include_in_schema=False)
@router.post(
    "/jobs/",
    status_code=202,
    response_model=Accepted,
    responses=_there(Accepted | Result, "With `wait`: the job has ended. ") | _SINGLE,
    openapi_extra=_json_body(SUBMISSION, WAIT),
)
async def submit(request: Request) -> Response:
    """Store a job and answer its id; a worker runs it.

    202 means committed: the job survives whatever happens next.
    """
    to = services(request)
    wait_s = wait_of(request, to.settings)
    body = await read_json(request, to.settings)
    key, job = key_of(request, body, to.settings), await to.submissions.job(body)
    if to.admission.limit_s:
        await to.admission.check((job.queue,))
    if key is None and job.options is None and not wait_s:  # most are so, and each step costs all of them
        await to.intake.submit(job)
        return _accepted(job.id, State.PENDING, 202)
    if wait_s:
        with to.waiting.place(), to.waiting.watch(request, job.id, every=False, new=True) as watcher:
            accepted = await _store(to, job, key)
            new = watcher if accepted[0] == job.id else None  # else it is one that was there
            return await ended(request, to.waiting, accepted[0], wait_s, new) or _accepted(*accepted)
    return _accepted(*await _store(to, job, key))


async def _store(to: Services, job: NewJob, key: Key | None) -> tuple[UUID, str, int, Headers]:
    """Store a job; returns what is answered: an id, a state, a status and headers."""
    if key is None and (job.options is None or job.options.unique is None):
        await to.intake.submit(job)
        return job.id, first_state(job), 202, ()
    stored = await to.intake.submit_once([job], key)
    (job_id,) = stored.ids
    if stored.new:
        return job_id, first_state(job), 202, ()
    found = await to.pool.read(lambda connection: reads.status(connection, job_id))
    if found is None:
        raise JobNotFound  # removed: it is not to run a second time
    return job_id, found[0].status, 200, REPLAYED if stored.replayed else ()


def _accepted(job_id: UUID, state: str, status: int, headers: Headers = ()) -> Response:
    return Json(b'{"job_id":"%b","status":"%b"}' % (str(job_id).encode(), state.encode()), status, headers)


@router.post("/jobs/batch/", status_code=202, include_in_schema=False)
@router.post("/jobs/batch", status_code=202, response_model=BatchAccepted, responses=_there(BatchAccepted) | _REFUSED, openapi_extra=_json_body(_MANY))
async def submit_batch(request: Request) -> Response:
    """Store up to 10,000 jobs in one transaction, all or none; answers their ids in order."""
    to = services(request)
    values = await read_json(request, to.settings)
    key = key_of(request, values, to.settings)
    if not isinstance(values, list) or not 1 <= len(values) <= to.settings.max_batch_jobs:
        raise named(INVALID, [("", f"an array of 1 to {to.settings.max_batch_jobs} submissions is expected")], 1)
    jobs = []
    for at, value in enumerate(values):
        if at % CHECKED_AT_ONCE == 0:
            await asyncio.sleep(0)  # others have their turn
        jobs.append(await to.submissions.job(value, f"{at}."))
    await to.admission.check(job.queue for job in jobs)
    ids, status, headers = [job.id for job in jobs], 202, Headers()
    if key is not None or any(job.options is not None and job.options.unique is not None for job in jobs):
        stored = await to.intake.submit_once(jobs, key)
        ids, status, headers = stored.ids, 200 if not stored.new else 202, REPLAYED if stored.replayed else ()
    else:
        await to.intake.submit_all(jobs)
    return Json(orjson.dumps({"job_ids": ids, "status": State.PENDING}), status, headers)


_NOT_POST = ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


@router.api_route("/jobs/batch", methods=_NOT_POST, include_in_schema=False)
@router.api_route("/jobs/batch/", methods=_NOT_POST, include_in_schema=False)
async def no_batch() -> None:
    """Refuse the method: without this, `batch` would be read as an id."""
    raise ProblemError(METHOD, headers={"Allow": "POST"})


_READ = {**documented(JOB_NOT_FOUND, INVALID_ID, UNAVAILABLE), **responses.CONDITIONAL}
_READ_OR_FULL = {**documented(JOB_NOT_FOUND, INVALID_ID, UNAVAILABLE, TOO_MANY), **responses.CONDITIONAL}


@router.get("/jobs/{job_id}/status/", include_in_schema=False)
@router.get("/jobs/{job_id}/status", response_model=Status, responses=_READ)
async def status(job_id: UUID, request: Request) -> Response:
    """Say where a job is, and how far its running attempt says it is."""
    to = services(request)
    found = await to.pool.read(lambda connection: reads.status(connection, job_id))
    if found is None:
        raise JobNotFound
    moment, fraction, text = found
    if fraction is None and text is None:
        return responses.of_moment(request, moment, b'{"status":"%b"}' % moment.status.encode())
    return responses.of_moment(request, moment, orjson.dumps({"status": moment.status, "progress": {"fraction": fraction, "text": text}}))


@router.get("/jobs/{job_id}/result/", include_in_schema=False)
@router.get("/jobs/{job_id}/result", response_model=Result, responses=_READ_OR_FULL, openapi_extra={"parameters": [WAIT]})
async def result(job_id: UUID, request: Request) -> Response:
    """Return a job's result; null until there is one, and the status says why."""
    to = services(request)
    if wait_s := wait_of(request, to.settings):
        with to.waiting.place():
            return await as_it_is(request, to.waiting, job_id, wait_s)
    found = await to.pool.read(lambda connection: reads.result(connection, job_id))
    if found is None:
        raise JobNotFound
    moment, text = found
    return responses.of_moment(request, moment, result_of(job_id, moment.status, text))


@router.get("/jobs/{job_id}/", include_in_schema=False)
@router.get("/jobs/{job_id}", response_model=JobView, responses=_READ)
async def job(job_id: UUID, request: Request) -> Response:
    """Return everything that is known of a job, as it was in one moment."""
    to = services(request)
    found = await to.pool.read(lambda connection: reads.job(connection, job_id))
    if found is None:
        raise JobNotFound
    moment = Moment(found["status"], found["epoch"], found["rev"])
    return responses.of_moment(request, moment, job_detail.view(found).model_dump_json(by_alias=True).encode(), job_detail.mark(found))
