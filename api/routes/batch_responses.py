"""Responses to submissions of batches, which the routes of jobs and of batches share."""

import orjson
from fastapi import Request, Response

from api.limits.path_prefix import root_path
from api.submit.idempotency import REPLAYED_HEADER
from api.views.batches import PATH
from api.web.responses import Headers, JsonResponse
from common.domain.states import State
from common.store.jobs.keyed_insert import InsertOutcome

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
