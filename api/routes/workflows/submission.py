"""Submit workflows."""

from collections.abc import Sequence
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.submit.batches.bodies import make_batch_id, new_batch
from api.submit.batches.ndjson import NdjsonBody, is_ndjson
from api.submit.documentation import WORKFLOW_PROBLEMS
from api.submit.idempotency import REPLAYED_HEADER, checked_key, idempotency_key
from api.submit.workflows.bodies import parse_workflow, workflow_body
from api.submit.workflows.models import workflow_submission_body
from api.views.workflows.bodies import PATH
from api.views.workflows.models import WorkflowAccepted
from api.web.responses import Headers, JsonResponse
from common.domain.tenancy.scopes import Scope
from common.domain.workflows import WorkflowState
from common.store.batches.submission import NewBatchRow

router = APIRouter(tags=["workflows"], route_class=SecuredRoute)
_LOCATION = {"Location": {"description": "The path of the workflow.", "schema": {"type": "string"}}}
_EXISTING = {
    "model": WorkflowAccepted,
    "description": "The existing workflow of the same Idempotency-Key; nothing was stored.",
}


@router.post("/workflows/", status_code=202, include_in_schema=False)
@router.post(
    "/workflows",
    status_code=202,
    response_model=WorkflowAccepted,
    responses={**WORKFLOW_PROBLEMS, 200: _EXISTING, 202: {"headers": _LOCATION}},
    openapi_extra=workflow_submission_body(),
)
@requires(Scope.JOBS_WRITE)
async def submit_workflow(request: Request) -> Response:
    """Submit jobs that wait for each other, in one transaction, all or none.

    Each job is a submission with a `name`, and with the names of the jobs for which it waits as `depends_on`. It runs
    when all of these have ended, as `on_parent_failure` says. Unknown names and cycles are refused. A job with a
    `unique` key holds it `while` `running`; one with parents has no `run_at` and no `delay_seconds`. A `follow_up` is a
    submission that is stored once when all jobs have ended; its metadata then have the `batch_id`, which is that of the
    workflow. A body of NDJSON, with a job a line, may have up to JOBPROC_MAX_NDJSON_JOBS.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    if is_ndjson(request):
        return await _submit_ndjson(request)
    tenant, workflow_id, settings = caller.tenant, make_batch_id(), services.settings
    async with services.bodies.json(request) as value:
        key = idempotency_key(request, value, settings)
        body = workflow_body(value, settings.max_batch_jobs)
        batch = await new_batch(services.parser, caller, workflow_id, body.options, closed=True, is_workflow=True)
        jobs = await parse_workflow(services.parser, caller, body.jobs, workflow_id, settings)
        body.jobs.clear()  # they take up ten times the bytes of the body
        await services.backpressure.check(tenant, (job.queue for job in jobs))
        row = NewBatchRow(batch, len(jobs))
        with await services.quotas.admit(tenant, [*jobs, *batch.follow_ups]) as admission:
            outcome = await services.group_commit.submit_once(jobs, key, tenant, row)
            admission.keep([*outcome.inserted, *(() if outcome.replayed else batch.follow_ups)])
    return _accepted(request, outcome.batch, len(outcome.ids), outcome.ids, replayed=outcome.replayed)


async def _submit_ndjson(request: Request) -> Response:
    services, caller, key = get_services(request), principal_of(request), checked_key(request)
    with services.ndjson_places.take():
        body = NdjsonBody(request, services.settings)
        stored = await services.ndjson_workflows.store(caller, body, make_batch_id(), key)
    return _accepted(request, stored.id, stored.jobs, replayed=stored.replayed)


def _accepted(
    request: Request, workflow_id: UUID | None, jobs: int, job_ids: Sequence[UUID] = (), *, replayed: bool
) -> Response:
    path = f"{root_path(request.scope)}{PATH}/{workflow_id}"
    headers: Headers = (b"location", path.encode("ascii")), *(REPLAYED_HEADER if replayed else ())
    body = {"workflow_id": workflow_id, "status": WorkflowState.RUNNING, "jobs": jobs, "job_ids": job_ids}
    return JsonResponse(orjson.dumps(body), 200 if replayed else 202, headers)
