"""Act on all jobs that match a filter: look first, start, stop, undo."""

from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from api.services import Services, services
from api.views.bulk_actions import PATH, ActionList, ActionsQuery, ActionView, NewActionBody, new_action, view
from api.views.cursors import Cursors
from api.views.job_list import limit_of
from api.web.problems import ACTION_NOT_FOUND, INVALID, INVALID_ID, MALFORMED, MEDIA, TIMEOUT, TOO_LARGE, UNAVAILABLE, WRONG_PHASE, documented, named
from api.web.request_body import read_json
from api.web.responses import Json
from common.domain.bulk_actions import Verb
from common.domain.errors import StoreUnavailable, Uncertain
from common.store.bulk_actions import lifecycle
from common.store.listing.index_scan import Record
from common.telemetry import logs

log = logs.get("api")
router = APIRouter(tags=["actions"])

_REFUSED = documented(MALFORMED, TIMEOUT, TOO_LARGE, MEDIA, INVALID, UNAVAILABLE)
_LOCATION = {"description": "Where the action is.", "schema": {"type": "string"}}
_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{NewActionBody.__name__}"}}}}}
_ONE = documented(ACTION_NOT_FOUND, INVALID_ID, UNAVAILABLE)
_ASKED = documented(ACTION_NOT_FOUND, INVALID_ID, WRONG_PHASE, UNAVAILABLE)


@router.post("/actions/", status_code=201, include_in_schema=False)
@router.post(
    "/actions",
    status_code=201,
    response_model=ActionView,
    responses={**_REFUSED, 201: {"description": "The preview", "headers": {"Location": _LOCATION}}},
    openapi_extra=_BODY,
)
async def preview(request: Request) -> Response:
    """Say to how many jobs, and to which, an action would be done; nothing is done before it is started.

    The count is exact up to JOBPROC_LIST_SCAN_JOBS rows that are looked at, beyond it is an estimate. A preview that nobody starts expires.
    """
    to = services(request)
    new, settings = new_action(await read_json(request, to.settings), to.settings), to.settings
    row = await to.pool.run_sync(partial(lifecycle.preview, new=new, most=settings.list_scan_jobs, skew_s=settings.max_clock_skew_seconds))
    at = f"{request.scope.get('root_path', '')}{PATH}/{new.id}"
    return Json(view(row).model_dump_json().encode(), 201, [(b"location", at.encode("ascii"))])


@router.get("/actions/", include_in_schema=False)
@router.get("/actions", response_model=ActionList, responses=documented(INVALID_ID, UNAVAILABLE))
async def page(request: Request, query: Annotated[ActionsQuery, Query()]) -> Response:
    """List actions, newest first, a page at a time."""
    to = services(request)
    cursors, beyond, limit = Cursors(to.settings), None, limit_of(query.limit, to.settings)
    if query.cursor is not None and (beyond := cursors.read(None, query.cursor)) is None:
        raise named(INVALID_ID, [("cursor", "is not one of this list: take `next` of the page before")], 1)
    rows, after = await to.pool.run_sync(partial(lifecycle.page, beyond=beyond, limit=limit))
    root = request.scope.get("root_path", "") + PATH
    following = None if after is None else f"{root}?limit={limit}&cursor={cursors.write(None, after)}"
    return Json(ActionList(actions=[view(row) for row in rows], next=following).model_dump_json().encode())


@router.get("/actions/{action_id}/", include_in_schema=False)
@router.get("/actions/{action_id}", response_model=ActionView, responses=_ONE)
async def one(action_id: UUID, request: Request) -> Response:
    """Return an action, and how far it is."""
    to = services(request)
    return _answer(await to.pool.run_sync(partial(lifecycle.one, action_id=action_id)))


@router.post("/actions/{action_id}/start/", include_in_schema=False)
@router.post("/actions/{action_id}/start", response_model=ActionView, responses=_ASKED)
async def start(action_id: UUID, request: Request) -> Response:
    """Let an action begin, or go on where it was stopped; as often as you like."""
    to = services(request)
    row, changed = await _ask(to, action_id, Verb.START)
    if changed:
        log.info("action_begun", action_id=str(action_id), kind=row["kind"])
    return _answer(row)


@router.post("/actions/{action_id}/stop/", include_in_schema=False)
@router.post("/actions/{action_id}/stop", response_model=ActionView, responses=_ASKED)
async def stop(action_id: UUID, request: Request) -> Response:
    """Stop an action, or its undo: once this is answered nothing more is done. As often as you like."""
    to = services(request)
    row, changed = await _ask(to, action_id, Verb.STOP)
    if changed:
        log.info("action_stopped", action_id=str(action_id), kind=row["kind"])
    return _answer(row)


@router.post("/actions/{action_id}/undo/", include_in_schema=False)
@router.post("/actions/{action_id}/undo", response_model=ActionView, responses=_ASKED)
async def undo(action_id: UUID, request: Request) -> Response:
    """Take back what an action did, as far as that is possible; as often as you like.

    Waiting jobs that were cancelled are put back as they were, what was retried and has not begun ends CANCELLED, what waits gets back its priority.
    """
    to = services(request)
    row, changed = await _ask(to, action_id, Verb.UNDO)
    if changed:
        log.info("action_undoing", action_id=str(action_id), kind=row["kind"])
    return _answer(row)


async def _ask(to: Services, action_id: UUID, verb: Verb) -> tuple[Record, bool]:
    try:
        return await to.pool.run_sync(partial(lifecycle.ask, action_id=action_id, verb=verb))
    except StoreUnavailable as error:
        raise Uncertain from error


def _answer(row: Record) -> Response:
    return Json(view(row).model_dump_json().encode())
