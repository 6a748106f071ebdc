"""Bulk actions on all jobs that match a filter: preview, start, stop, undo."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.auth.access import check_scope
from api.auth.auditing import audit_entry, log_entry
from api.auth.expensive_read import until_disconnected
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.bulk_actions.requests import (
    BulkActionBody,
    BulkActionListQuery,
    BulkActionStartBody,
    parse_bulk_action,
    parse_start,
)
from api.views.bulk_actions.responses import (
    PATH,
    BulkActionList,
    BulkActionOutcomes,
    BulkActionView,
    bulk_action_body,
    bulk_action_list_body,
    outcomes_body,
)
from api.views.cursors import Cursors
from api.views.job_list import page_limit, scan_limit
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    OVERLOADED,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body, json_body
from api.web.resource_problem_kinds import BULK_ACTION_NOT_FOUND, COUNT_NOT_CONFIRMED, TOO_MANY_PREVIEWS, WRONG_PHASE
from api.web.responses import JsonResponse
from common.domain.bulk_actions import PLAIN_START, ActionKind, ActionRequest, Phase, StartRequest
from common.domain.errors import OutcomeUnknown, StoreUnavailable
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.store.bulk_actions import lifecycle, outcomes
from common.store.bulk_actions.lifecycle import PreviewLimits
from common.store.connection.lanes import Lane
from common.store.listing.index_scan import Record
from common.telemetry import logs

log = logs.get("api")
router = APIRouter(tags=["bulk actions"], route_class=SecuredRoute)
_AUDITED = {
    ActionRequest.START: AuditAction.BULK_ACTION_START,
    ActionRequest.STOP: AuditAction.BULK_ACTION_STOP,
    ActionRequest.UNDO: AuditAction.BULK_ACTION_UNDO,
}

_PREVIEW_PROBLEMS = problem_responses(
    *BODY_PROBLEMS, TENANT_DRAINING, OVERLOADED, TOO_MANY_PREVIEWS, *EXPENSIVE_READ_PROBLEMS
)
_LOCATION = {"description": "The path of the bulk action.", "schema": {"type": "string"}}
_READ_PROBLEMS = problem_responses(BULK_ACTION_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE)
_CHANGE_PROBLEMS = problem_responses(
    BULK_ACTION_NOT_FOUND, INVALID_PARAMETER, WRONG_PHASE, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE
)
_START_PROBLEMS = problem_responses(
    BULK_ACTION_NOT_FOUND,
    INVALID_PARAMETER,
    *BODY_PROBLEMS,
    OVERLOADED,
    WRONG_PHASE,
    COUNT_NOT_CONFIRMED,
    QUOTA_EXCEEDED,
    QUOTA_TOO_SMALL,
    TENANT_DRAINING,
    STORE_UNAVAILABLE,
)


@router.post("/bulk-actions/", status_code=201, include_in_schema=False)
@router.post(
    "/bulk-actions",
    status_code=201,
    response_model=BulkActionView,
    responses={
        **_PREVIEW_PROBLEMS,
        201: {"description": "The preview of the bulk action", "headers": {"Location": _LOCATION}},
    },
    openapi_extra=json_body(BulkActionBody, required=True),
)
@requires(Scope.BULK)
async def preview_bulk_action(request: Request) -> Response:
    """Preview a bulk action: count the jobs that match, with a sample. No job is changed until the action is started.

    The count is exact up to JOBPROC_LIST_SCAN_JOBS scanned rows; beyond that it is an estimate. A preview that is not
    started expires after JOBPROC_BULK_ACTION_PREVIEW_SECONDS. If JOBPROC_BULK_ACTION_MAX_PREVIEWS bulk actions wait for
    their start, the oldest one expires in favour of the new one once it is a minute old
    (JOBPROC_BULK_ACTION_PREVIEW_MIN_SECONDS); until then the response is 429.
    """
    services = get_services(request)
    settings, caller = services.settings, principal_of(request)
    async with services.bodies.json(request) as body:
        new = parse_bulk_action(body, settings, caller.submitted_by)
    if new.search.input:
        check_scope(caller, Scope.JOBS_PAYLOAD)  # the filter would tell what is in the inputs
    if new.kind is ActionKind.RETRY:
        caller.check_may_submit()
    limits = PreviewLimits(
        scan_limit(new.search, settings),
        settings.max_clock_skew_seconds,
        settings.bulk_action_max_previews,
        settings.bulk_action_preview_min_seconds,
    )
    row = await services.pool.run_sync(
        partial(lifecycle.preview, tenant=caller.tenant, new=new, limits=limits),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        caller.tenant,
    )
    root = root_path(request.scope)
    location = (b"location", f"{root}{PATH}/{new.id}".encode("ascii"))
    return JsonResponse(bulk_action_body(row, root), 201, [location])


@router.get("/bulk-actions/", include_in_schema=False)
@router.get(
    "/bulk-actions",
    response_model=BulkActionList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.BULK)
async def list_bulk_actions(request: Request, query: Annotated[BulkActionListQuery, Query()]) -> Response:
    """List bulk actions, newest first. Follow `next` to page through the list."""
    services, tenant = get_services(request), principal_of(request).tenant
    cursors, limit = Cursors(services.settings, tenant), page_limit(query.limit, services.settings)
    after = cursors.position(None, query.cursor)
    rows, last = await services.pool.run_sync(
        partial(lifecycle.page, tenant=tenant, after=after, limit=limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        tenant,
    )
    root = root_path(request.scope)
    next_path = None if last is None else f"{root}{PATH}?limit={limit}&cursor={cursors.encode(None, last)}"
    return JsonResponse(bulk_action_list_body(rows, next_path, root))


@router.get("/bulk-actions/{bulk_action_id}/", include_in_schema=False)
@router.get("/bulk-actions/{bulk_action_id}", response_model=BulkActionView, responses=_READ_PROBLEMS)
@requires(Scope.BULK)
async def get_bulk_action(bulk_action_id: UUID, request: Request) -> Response:
    """Retrieve a bulk action with its phase and progress."""
    return _respond(request, await _read(request, bulk_action_id))


@router.get("/bulk-actions/{bulk_action_id}/outcomes/", include_in_schema=False)
@router.get(
    "/bulk-actions/{bulk_action_id}/outcomes",
    response_model=BulkActionOutcomes,
    responses=problem_responses(BULK_ACTION_NOT_FOUND, INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.BULK)
async def get_bulk_action_outcomes(bulk_action_id: UUID, request: Request) -> Response:
    """Retrieve what became of the jobs that a bulk action has changed, and what an undo would do now.

    At most JOBPROC_LIST_SCAN_JOBS jobs are counted, the oldest ones. Jobs that an undo has processed are not counted.
    """
    services, tenant = get_services(request), principal_of(request).tenant
    limit = services.settings.list_scan_jobs
    found = await services.pool.run_sync(
        partial(outcomes.read, tenant=tenant, bulk_action_id=bulk_action_id, limit=limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        tenant,
    )
    return JsonResponse(outcomes_body(bulk_action_id, found))


@router.post("/bulk-actions/{bulk_action_id}/start/", include_in_schema=False)
@router.post(
    "/bulk-actions/{bulk_action_id}/start",
    response_model=BulkActionView,
    responses=_START_PROBLEMS,
    openapi_extra=json_body(BulkActionStartBody, required=False),
)
@requires(Scope.BULK)
async def start_bulk_action(bulk_action_id: UUID, request: Request) -> Response:
    """Start a bulk action, or resume a stopped one. The request is safe to repeat.

    A bulk action on all jobs starts only with the `count` of its preview in the body. Any other one may have it. With
    `first` it stops by itself once it has changed so many jobs; a later start resumes it.
    """
    services, caller = get_services(request), principal_of(request)
    async with services.bodies.json(request, optional=True) as body:
        start = parse_start(body, caller.submitted_by)
    if caller.is_draining and (await _read(request, bulk_action_id))["kind"] == ActionKind.RETRY:
        caller.check_may_submit()
    await _check_quotas(request, bulk_action_id, start)
    row, changed = await _request(request, bulk_action_id, ActionRequest.START, start)
    if changed:
        log.info("bulk_action_started", bulk_action_id=str(bulk_action_id), kind=row["kind"])
    return _respond(request, row)


@router.post("/bulk-actions/{bulk_action_id}/stop/", include_in_schema=False)
@router.post("/bulk-actions/{bulk_action_id}/stop", response_model=BulkActionView, responses=_CHANGE_PROBLEMS)
@requires(Scope.BULK)
async def stop_bulk_action(bulk_action_id: UUID, request: Request) -> Response:
    """Stop a bulk action or its undo. After the response no further job is changed. The request is safe to repeat."""
    services = get_services(request)
    await check_ignored_body(request, services.settings)
    row, changed = await _request(request, bulk_action_id, ActionRequest.STOP)
    if changed:
        log.info("bulk_action_stopped", bulk_action_id=str(bulk_action_id), kind=row["kind"])
    return _respond(request, row)


@router.post("/bulk-actions/{bulk_action_id}/undo/", include_in_schema=False)
@router.post("/bulk-actions/{bulk_action_id}/undo", response_model=BulkActionView, responses=_CHANGE_PROBLEMS)
@requires(Scope.BULK)
async def undo_bulk_action(bulk_action_id: UUID, request: Request) -> Response:
    """Undo a bulk action as far as possible. The request is safe to repeat.

    Cancelled jobs that were waiting return to their previous state. Retried jobs that have not started end CANCELLED.
    Reprioritised jobs that still wait get their previous priority.
    """
    services = get_services(request)
    await check_ignored_body(request, services.settings)
    row, changed = await _request(request, bulk_action_id, ActionRequest.UNDO)
    if changed:
        log.info("bulk_action_undoing", bulk_action_id=str(bulk_action_id), kind=row["kind"])
    return _respond(request, row)


async def _read(request: Request, bulk_action_id: UUID) -> Record:
    tenant = principal_of(request).tenant
    read = partial(lifecycle.read, tenant=tenant, bulk_action_id=bulk_action_id)
    return await get_services(request).pool.run_sync(read, Lane.BY_ID, tenant=tenant)


async def _check_quotas(request: Request, bulk_action_id: UUID, start: StartRequest) -> None:
    """Refuse the start of a retry of more jobs than the tenant's quotas admit. Reads nothing for others."""
    services, tenant = get_services(request), principal_of(request).tenant
    if await services.quotas.limits_of(tenant) is None:
        return
    row = await _read(request, bulk_action_id)
    if row["kind"] == ActionKind.RETRY and row["phase"] in (Phase.PREVIEW, Phase.STOPPED):
        jobs = row["count"] if start.first is None else min(row["count"], start.first)
        await services.quotas.check_bulk_retry(tenant, max(0, jobs - row["done"]), row["jobs_per_second"])


async def _request(
    request: Request, bulk_action_id: UUID, verb: ActionRequest, start: StartRequest = PLAIN_START
) -> tuple[Record, bool]:
    services, tenant = get_services(request), principal_of(request).tenant
    entry = audit_entry(request, _AUDITED[verb], bulk_action_id)
    change = partial(
        lifecycle.request, tenant=tenant, bulk_action_id=bulk_action_id, verb=verb, entry=entry, start=start
    )
    try:
        row, changed = await services.pool.run_sync(change, Lane.BY_ID, tenant=tenant)
    except StoreUnavailable as error:
        raise OutcomeUnknown from error
    if changed:
        log_entry(entry)
    return row, changed


def _respond(request: Request, row: Record) -> Response:
    return JsonResponse(bulk_action_body(row, root_path(request.scope)))
