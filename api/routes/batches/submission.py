"""Responses to submissions of batches, and submissions of NDJSON, for the routes that take arrays too."""

from uuid import UUID

import orjson
from fastapi import Request, Response

from api.auth.principal import principal_of
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.services import get_services
from api.submit.batches.bodies import make_batch_id, new_batch
from api.submit.batches.ndjson import NdjsonBody
from api.submit.batches.ndjson_jobs import RefusedLine, StoredLines
from api.submit.idempotency import REPLAYED_HEADER, checked_key
from api.submit.request_models import BatchBody
from api.views.batches import PATH
from api.web.problem_kinds import INVALID_BODY, INVALID_PARAMETER
from api.web.problems import field_problem
from api.web.responses import Headers, JsonResponse
from common.domain.states import State
from common.store.batches import changes, submission
from common.store.connection.lanes import Lane
from common.store.jobs.keyed_insert import InsertOutcome

_ATOMIC = {"true": True, "false": False}
#: The header in the OpenAPI document.
LOCATION = {"Location": {"description": "The path of the batch.", "schema": {"type": "string"}}}


def location(request: Request, batch_id: object) -> tuple[bytes, bytes]:
    """Return the header Location with the path of a batch."""
    return b"location", f"{root_path(request.scope)}{PATH}/{batch_id}".encode("ascii")


def accepted_batch(request: Request, outcome: InsertOutcome) -> Response:
    """Return the response to jobs of a batch: 202, or 200 if none was inserted."""
    headers: Headers = REPLAYED_HEADER if outcome.replayed else ()
    body = {"job_ids": outcome.ids, "status": State.PENDING, "batch_id": outcome.batch}
    headers = (*headers, location(request, outcome.batch))
    return JsonResponse(orjson.dumps(body), 202 if outcome.inserted else 200, headers)


async def submit_ndjson(request: Request, batch_id: UUID | None) -> Response:
    """Store the jobs of a body in an open batch; None: in a new batch, which is closed then."""
    services, caller = get_services(request), principal_of(request)
    all_or_none, key = is_atomic(request), checked_key(request)
    if key is not None and not all_or_none:
        raise field_problem(INVALID_PARAMETER, [("atomic", "cannot be false with an Idempotency-Key")], 1)
    new_id = batch_id or make_batch_id()
    with services.ndjson_places.take():
        body = NdjsonBody(request, services.settings)
        if all_or_none:
            new = None
            if batch_id is None:
                new = await new_batch(services.parser, caller, new_id, BatchBody(), closed=True)
            stored = await services.ndjson.store_all(caller, body, new_id, new, key)
        elif batch_id is not None:
            stored = await services.ndjson.store_each(caller, body, batch_id)
        else:
            stored = await _store_each_in_new(request, body, new_id)
    services.batches.forget(caller.tenant, stored.batch_id)
    if not stored.jobs:  # each line was refused
        first = stored.refused[0] if stored.refused else RefusedLine(0, INVALID_BODY.type, "no line has a submission")
        raise field_problem(INVALID_BODY, [(str(first.line or ""), first.detail)], max(1, len(stored.refused)))
    return _respond(request, stored)


async def _store_each_in_new(request: Request, body: NdjsonBody, batch_id: UUID) -> StoredLines:
    """Store the jobs in a new batch, which is open until the end of the body, however that comes."""
    services, caller = get_services(request), principal_of(request)
    batch = await new_batch(services.parser, caller, batch_id, BatchBody(), closed=False)
    await services.pool.run(lambda connection: submission.insert_batch(connection, batch), Lane.INTAKE)
    try:
        return await services.ndjson.store_each(caller, body, batch_id)
    finally:
        await services.pool.run(
            lambda connection: changes.close(connection, caller.tenant, batch_id, None, new_job_id_now()), Lane.INTAKE
        )


def is_atomic(request: Request) -> bool:
    """Return the parameter `atomic`, True without it. Raises ProblemError if it is malformed."""
    text = request.query_params.get("atomic", "true")
    if text not in _ATOMIC:
        raise field_problem(INVALID_PARAMETER, [("atomic", "true or false is expected")], 1)
    return _ATOMIC[text]


def _respond(request: Request, stored: StoredLines) -> Response:
    headers: Headers = REPLAYED_HEADER if stored.replayed else ()
    body = {
        "job_ids": [],
        "status": State.PENDING,
        "batch_id": stored.batch_id,
        "jobs": stored.jobs,
        "ranges": [
            {"first_line": first, "last_line": last, "first_job_id": job_id} for first, last, job_id in stored.ranges
        ],
        "refused": [{"line": line.line, "type": line.type, "detail": line.detail} for line in stored.refused],
        "complete": stored.is_complete,
    }
    status = 200 if stored.replayed else 202
    return JsonResponse(orjson.dumps(body), status, (*headers, location(request, stored.batch_id)))
