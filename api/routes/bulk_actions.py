"""Act on all jobs that match a filter: look first, start, stop, undo."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.services import Services, get_services
from api.views.bulk_actions import PATH, BulkActionBody, BulkActionList, BulkActionListQuery, BulkActionView, bulk_action_view, parse_bulk_action
from api.views.cursors import Cursors
from api.views.job_list import page_limit
from api.web.problems import (
    ACTION_NOT_FOUND,
    BODY_TIMEOUT,
    BODY_TOO_LARGE,
    INVALID_BODY,
    INVALID_PARAMETER,
    MALFORMED_JSON,
    STORE_UNAVAILABLE,
    UNSUPPORTED_MEDIA_TYPE,
    WRONG_PHASE,
    field_problem,
    problem_responses,
)
from api.web.request_body import read_json
from api.web.responses import JsonResponse
from common.domain.bulk_actions import Verb
from common.domain.errors import OutcomeUnknown, StoreUnavailable
from common.store.bulk_actions import lifecycle
from common.store.listing.index_scan import Record
from common.telemetry import logs

log = logs.get("api")
router = APIRouter(tags=["actions"])

_REFUSED = problem_responses(MALFORMED_JSON, BODY_TIMEOUT, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE, INVALID_BODY, STORE_UNAVAILABLE)
_LOCATION = {"description": "Where the action is.", "schema": {"type": "string"}}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{BulkActionBody.__name__}"}}}}}
_ONE = problem_responses(ACTION_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE)
_ASKED = problem_responses(ACTION_NOT_FOUND, INVALID_PARAMETER, WRONG_PHASE, STORE_UNAVAILABLE)


@router.post("/actions/", status_code=201, include_in_schema=False)
@router.post(
    "/actions",
    status_code=201,
    response_model=BulkActionView,
    responses={**_REFUSED, 201: {"description": "The preview", "headers": {"Location": _LOCATION}}},
    openapi_extra=_BODY,
)
async def preview_bulk_action(request: Request) -> Response:
    """Say to how many jobs, and to which, an action would be done; nothing is done before it is started.

    The count is exact up to JOBPROC_LIST_SCAN_JOBS rows that are looked at, beyond it is an estimate. A preview that nobody starts expires.
    """
    services = get_services(request)
    new, settings = parse_bulk_action(await read_json(request, services.settings), services.settings), services.settings
    row = await services.pool.run_sync(partial(lifecycle.preview, new=new, scan_limit=settings.list_scan_jobs, skew_s=settings.max_clock_skew_seconds))
    at = f"{request.scope.get('root_path', '')}{PATH}/{new.id}"
    return JsonResponse(bulk_action_view(row).model_dump_json().encode(), 201, [(b"location", at.encode("ascii"))])


@router.get("/actions/", include_in_schema=False)
@router.get("/actions", response_model=BulkActionList, responses=problem_responses(INVALID_PARAMETER, STORE_UNAVAILABLE))
async def list_bulk_actions(request: Request, query: Annotated[BulkActionListQuery, Query()]) -> Response:
    """List actions, newest first, a page at a time."""
    services = get_services(request)
    cursors, beyond, limit = Cursors(services.settings), None, page_limit(query.limit, services.settings)
    if query.cursor is not None and (beyond := cursors.decode(None, query.cursor)) is None:
        raise field_problem(INVALID_PARAMETER, [("cursor", "is not one of this list: take `next` of the page before")], 1)
    rows, after = await services.pool.run_sync(partial(lifecycle.page, after=beyond, limit=limit))
    root = request.scope.get("root_path", "") + PATH
    following = None if after is None else f"{root}?limit={limit}&cursor={cursors.encode(None, after)}"
    return JsonResponse(BulkActionList(actions=[bulk_action_view(row) for row in rows], next=following).model_dump_json().encode())


@router.get("/actions/{action_id}/", include_in_schema=False)
@router.get("/actions/{action_id}", response_model=BulkActionView, responses=_ONE)
async def get_bulk_action(action_id: UUID, request: Request) -> Response:
    """Return an action, and how far it is."""
    services = get_services(request)
    return _respond(await services.pool.run_sync(partial(lifecycle.read, action_id=action_id)))


@router.post("/actions/{action_id}/start/", include_in_schema=False)
@router.post("/actions/{action_id}/start", response_model=BulkActionView, responses=_ASKED)
async def start_bulk_action(action_id: UUID, request: Request) -> Response:
    """Let an action begin, or go on where it was stopped; as often as you like."""
    services = get_services(request)
    row, changed = await _request(services, action_id, Verb.START)
    if changed:
        log.info("action_begun", action_id=str(action_id), kind=row["kind"])
    return _respond(row)


@router.post("/actions/{action_id}/stop/", include_in_schema=False)
@router.post("/actions/{action_id}/stop", response_model=BulkActionView, responses=_ASKED)
async def stop_bulk_action(action_id: UUID, request: Request) -> Response:
    """Stop an action, or its undo: once this is answered nothing more is done. As often as you like."""
    services = get_services(request)
    row, changed = await _request(services, action_id, Verb.STOP)
    if changed:
        log.info("action_stopped", action_id=str(action_id), kind=row["kind"])
    return _respond(row)


@router.post("/actions/{action_id}/undo/", include_in_schema=False)
@router.post("/actions/{action_id}/undo", response_model=BulkActionView, responses=_ASKED)
async def undo_bulk_action(action_id: UUID, request: Request) -> Response:
    """Take back what an action did, as far as that is possible; as often as you like.

    Waiting jobs that were cancelled are put back as they were, what was retried and has not begun ends CANCELLED, what waits gets back its priority.
    """
    services = get_services(request)
    row, changed = await _request(services, action_id, Verb.UNDO)
    if changed:
        log.info("action_undoing", action_id=str(action_id), kind=row["kind"])
    return _respond(row)


async def _request(services: Services, action_id: UUID, verb: Verb) -> tuple[Record, bool]:
    try:
        return await services.pool.run_sync(partial(lifecycle.request, action_id=action_id, verb=verb))
    except StoreUnavailable as error:
        raise OutcomeUnknown from error


def _respond(row: Record) -> Response:
    return JsonResponse(bulk_action_view(row).model_dump_json().encode())
