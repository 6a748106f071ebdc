"""Workflows: read, list, cancel, retry what has failed."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query, Request, Response

from api.auth.auditing import audit_entry, log_entry
from api.auth.expensive_read import until_disconnected
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.services import get_services
from api.views.batches import etag_suffix
from api.views.cursors import Cursors
from api.views.job_list import page_limit
from api.views.workflows.bodies import PATH, nodes_body, workflow_body, workflow_list_body
from api.views.workflows.models import WorkflowList, WorkflowListQuery, WorkflowNodes, WorkflowNodesQuery, WorkflowView
from api.watch.long_poll import CLOSE_HEADER, WAIT_PARAMETER, requested_wait_s
from api.web import responses
from api.web.problem_kinds import (
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    TOO_MANY_WAITING_CLIENTS,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body
from api.web.resource_problem_kinds import WORKFLOW_NOT_FOUND, WORKFLOW_RUNNING
from api.web.responses import JsonResponse
from common.domain.errors import BatchNotFound, OutcomeUnknown, StoreUnavailable, WorkflowNotFound
from common.domain.job_search import first_id_from
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.domain.workflows import state_of
from common.store.batches import changes as batch_changes
from common.store.batches.reads import Record
from common.store.connection.lanes import Lane
from common.store.jobs.reads import JobRevision
from common.store.workflows import changes, reads

T = TypeVar("T")
router = APIRouter(tags=["workflows"], route_class=SecuredRoute)
_READ_PROBLEMS = (WORKFLOW_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE, *EXPENSIVE_READ_PROBLEMS)
_READ_RESPONSES: dict[int | str, dict[str, Any]] = {
    **problem_responses(*_READ_PROBLEMS, TOO_MANY_WAITING_CLIENTS),
    **responses.CONDITIONAL_RESPONSES,
}
_CHANGE_PROBLEMS = (*_READ_PROBLEMS, UNSUPPORTED_MEDIA_TYPE)
_WAIT = WAIT_PARAMETER | {
    "description": "Seconds to wait until all jobs have ended, at most JOBPROC_LONG_POLL_MAX_SECONDS (60). The "
    "response is sent when they have, or when the time is up. Default: 0."
}


@router.get("/workflows/", include_in_schema=False)
@router.get(
    "/workflows",
    response_model=WorkflowList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.JOBS_READ)
async def list_workflows(request: Request, query: Annotated[WorkflowListQuery, Query()]) -> Response:
    """List workflows, newest first, without their jobs. Follow `next` to page through the list.

    A page scans at most JOBPROC_LIST_SCAN_JOBS workflows and batches, so one may be short; `next` then continues from
    there.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    cursors, limit = Cursors(services.settings, tenant), page_limit(query.limit, services.settings)
    filters = query.model_dump(include={"status", "created_after", "created_before"}, exclude_none=True, mode="json")
    name = f"workflows {sorted(filters.items())}"
    after, root = cursors.position(name, query.cursor), root_path(request.scope)
    page = partial(
        reads.page,
        tenant=tenant,
        before=None if after is None else after.job_id,
        range_=(first_id_from(query.created_after), first_id_from(query.created_before)),
        state=query.status,
        limits=(limit, services.settings.list_scan_jobs),
    )
    rows, last = await services.pool.run(page, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
    next_path = None
    if last is not None:
        next_path = cursors.next_path(name, f"{root}{PATH}", filters | {"limit": limit}, last)
    return JsonResponse(workflow_list_body(rows, next_path, root))


@router.get("/workflows/{workflow_id}/", include_in_schema=False)
@router.get(
    "/workflows/{workflow_id}",
    response_model=WorkflowView,
    responses=_READ_RESPONSES,
    openapi_extra={"parameters": [_WAIT]},
)
@requires(Scope.JOBS_READ)
async def get_workflow(workflow_id: UUID, request: Request) -> Response:
    """Retrieve a workflow with the exact counts of its jobs, and its graph folded by operation.

    With `wait` the response is sent when all jobs have ended. GET /batches/{batch_id}/events streams the progress.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    wait_s = requested_wait_s(request, services.settings)
    row = await _read(request, workflow_id)
    row = await services.batch_watchers.when_ended(request, tenant, row, wait_s)
    state = state_of(row["failed"], row["cancelled"], is_at_rest=row["is_at_rest"])
    body = await _body(request, row)
    response = responses.conditional(request, JobRevision(state, 0, row["rev"]), body, etag_suffix(row))
    if wait_s and services.batch_watchers.is_draining:
        response.raw_headers.append(CLOSE_HEADER)  # tells the client why it was answered early
    return response


@router.get("/workflows/{workflow_id}/jobs/", include_in_schema=False)
@router.get("/workflows/{workflow_id}/jobs", response_model=WorkflowNodes, responses=problem_responses(*_READ_PROBLEMS))
@requires(Scope.JOBS_READ)
async def list_workflow_jobs(
    workflow_id: UUID, request: Request, query: Annotated[WorkflowNodesQuery, Query()]
) -> Response:
    """List the jobs of a workflow with their parents, which come first. Follow `next` to page through the list."""
    services, tenant = get_services(request), principal_of(request).tenant
    await _read(request, workflow_id)
    cursors, name = Cursors(services.settings, tenant), f"jobs of workflow {workflow_id}"
    limit, after = page_limit(query.limit, services.settings), cursors.position(name, query.cursor)
    page = partial(
        reads.nodes,
        tenant=tenant,
        workflow_id=workflow_id,
        after=None if after is None else after.job_id,
        limit=limit + 1,
    )
    rows = await services.pool.run(page, Lane.EXPENSIVE, partial(until_disconnected, request), tenant)
    root, next_path = root_path(request.scope), None
    if len(rows) > limit:
        rows.pop()
        next_path = cursors.next_path(name, f"{root}{PATH}/{workflow_id}/jobs", {"limit": limit}, rows[-1]["id"])
    return JsonResponse(nodes_body(rows, next_path, root))


@router.post("/workflows/{workflow_id}/cancel/", include_in_schema=False)
@router.post(
    "/workflows/{workflow_id}/cancel", response_model=WorkflowView, responses=problem_responses(*_CHANGE_PROBLEMS)
)
@requires(Scope.JOBS_CANCEL)
async def cancel_workflow(workflow_id: UUID, request: Request) -> Response:
    """Cancel all jobs of a workflow, in steps. The request is safe to repeat.

    Waiting jobs end CANCELLED, running ones are asked to stop. The follow-up is stored when all have ended.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    await check_ignored_body(request, services.settings)
    await _read(request, workflow_id)
    entry = audit_entry(request, AuditAction.WORKFLOW_CANCEL, workflow_id)
    change = partial(
        batch_changes.cancel,
        tenant=tenant,
        batch_id=workflow_id,
        entry=entry,
        new_ids=(new_job_id_now(), new_job_id_now()),
        jobs_per_second=services.settings.bulk_action_max_jobs_per_second,
    )
    outcome = await _change(request, workflow_id, change)
    if outcome.has_changed:
        log_entry(entry)
    return JsonResponse(await _body(request, await _read(request, workflow_id)))


@router.post("/workflows/{workflow_id}/retry/", include_in_schema=False)
@router.post(
    "/workflows/{workflow_id}/retry",
    response_model=WorkflowView,
    responses=problem_responses(*_CHANGE_PROBLEMS, WORKFLOW_RUNNING, TENANT_DRAINING),
)
@requires(Scope.JOBS_WRITE)
async def retry_workflow(workflow_id: UUID, request: Request) -> Response:
    """Retry the jobs of a workflow at rest that have not succeeded; what has succeeded is kept.

    Each runs once more, with all its attempts, when its parents have ended as its `on_parent_failure` says.
    """
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    await check_ignored_body(request, services.settings)
    entry = audit_entry(request, AuditAction.WORKFLOW_RETRY, workflow_id)
    retry = partial(changes.retry, tenant=caller.tenant, workflow_id=workflow_id, entry=entry)
    retried = await _change(request, workflow_id, retry)
    if retried.jobs:
        log_entry(entry)
    resolve = partial(changes.resolve, tenant=caller.tenant, ids=retried.blocked)
    for queue in retried.queues | await services.pool.run(resolve, Lane.INTAKE):
        services.doorbells.ring_soon(queue, retried.jobs)
    return JsonResponse(await _body(request, await _read(request, workflow_id)))


async def _read(request: Request, workflow_id: UUID) -> Record:
    """Return the row of a workflow with its counts. Raises WorkflowNotFound or StoreUnavailable."""
    try:
        row = await get_services(request).batches.read(principal_of(request).tenant, workflow_id)
    except BatchNotFound as error:
        raise WorkflowNotFound from error
    if not row["is_workflow"]:
        raise WorkflowNotFound
    return row


async def _body(request: Request, row: Record) -> bytes:
    services, tenant = get_services(request), principal_of(request).tenant
    graph = await services.workflow_graphs.read(request, tenant, row)
    return workflow_body(row, graph, root_path(request.scope))


async def _change(request: Request, workflow_id: UUID, change: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Run a change of a workflow. Raises OutcomeUnknown if the answer of the database was lost."""
    services = get_services(request)
    try:
        return await services.pool.run(change, Lane.INTAKE)
    except StoreUnavailable as error:
        raise OutcomeUnknown from error
    finally:
        services.batches.forget(principal_of(request).tenant, workflow_id)
        services.workflow_graphs.forget(principal_of(request).tenant, workflow_id)
