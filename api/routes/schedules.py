"""Create, list, change, pause, resume, run and delete schedules."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api.auth.auditing import audit_entry, change_audited_sync
from api.auth.expensive_read import until_disconnected
from api.auth.principal import Principal, principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.new_ids import new_job_id_now
from api.services import Services, get_services
from api.views.schedules import (
    LAST_FIRES,
    PATH,
    ScheduleList,
    ScheduleListQuery,
    ScheduleView,
    check_limits,
    etag,
    expected_revisions,
    list_body,
    merged,
    schedule_body,
    to_search,
)
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    OVERLOADED,
    PRECONDITION_FAILED,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNKNOWN_OPERATION,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses, validated
from api.web.request_body import check_ignored_body, json_body
from api.web.resource_problem_kinds import SCHEDULE_EXISTS, SCHEDULE_MANAGED, SCHEDULE_NOT_FOUND, TOO_MANY_SCHEDULES
from api.web.responses import JsonResponse, etag_header, if_match_parameter
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.schedule_definitions.definition import ScheduleChange, ScheduleDefinition
from common.store.connection.lanes import Lane
from common.store.schedules import changes, reads
from common.store.schedules.changes import NewSchedule
from common.store.schedules.records import StoredSchedule

router = APIRouter(tags=["schedules"], route_class=SecuredRoute)
_DEFINITION_KINDS = (*BODY_PROBLEMS, OVERLOADED, UNKNOWN_OPERATION, SCHEDULE_EXISTS, STORE_UNAVAILABLE)
_LOCATION = {"description": "The path of the schedule.", "schema": {"type": "string"}}
ETAG = etag_header("schedule")
WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": {"ETag": ETAG}}}
_CREATE_RESPONSES = {
    **problem_responses(*_DEFINITION_KINDS, TOO_MANY_SCHEDULES, TENANT_DRAINING),
    201: {"description": "The schedule", "headers": {"Location": _LOCATION, "ETag": ETAG}},
}
_READ_RESPONSES = {**problem_responses(SCHEDULE_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE), **WITH_ETAG}
_CHANGE_RESPONSES = {
    **problem_responses(
        *_DEFINITION_KINDS, SCHEDULE_NOT_FOUND, INVALID_PARAMETER, SCHEDULE_MANAGED, PRECONDITION_FAILED
    ),
    **WITH_ETAG,
}
VERB_KINDS = (SCHEDULE_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE)
_DELETE_PROBLEMS = problem_responses(*VERB_KINDS, SCHEDULE_MANAGED, PRECONDITION_FAILED)
_IF_MATCH = if_match_parameter("schedule", 'W/"1"')


@router.post("/schedules/", status_code=201, include_in_schema=False)
@router.post(
    "/schedules",
    status_code=201,
    response_model=ScheduleView,
    responses=_CREATE_RESPONSES,
    openapi_extra=json_body(ScheduleDefinition, required=True),
)
@requires(Scope.SCHEDULES)
async def create_schedule(request: Request) -> Response:
    """Create a schedule. Each of its instants submits its job, once; the job is checked now as a submission is."""
    services, caller = get_services(request), principal_of(request)
    caller.check_may_submit()
    async with services.bodies.json(request) as body:
        definition = validated(ScheduleDefinition, body)
        await _check(services, caller, definition)
    new = NewSchedule(new_job_id_now(), caller.tenant, definition, caller.submitted_by)
    limit = services.settings.default_max_schedules
    schedule = await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.SCHEDULE_CREATE, new.id, {"name": definition.name}),
        lambda connection: (changes.create(connection, new, limit), True),
    )
    root = root_path(request.scope)
    headers = [etag(schedule), (b"location", f"{root}{PATH}/{schedule.id}".encode("ascii"))]
    return JsonResponse(_body(request, schedule, []), 201, headers)


@router.get("/schedules/", include_in_schema=False)
@router.get(
    "/schedules",
    response_model=ScheduleList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.SCHEDULES)
async def list_schedules(request: Request, query: Annotated[ScheduleListQuery, Query()]) -> Response:
    """List schedules by name. Follow `next` to page through the list."""
    services, caller = get_services(request), principal_of(request)
    found = await services.pool.run_sync(
        lambda connection: reads.page(connection, caller.tenant, to_search(query), query.after, query.limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        caller.tenant,
    )
    return JsonResponse(list_body(query, found, root_path(request.scope), with_payload=_sees_payload(caller)))


@router.get("/schedules/{schedule_id}/", include_in_schema=False)
@router.get("/schedules/{schedule_id}", response_model=ScheduleView, responses=_READ_RESPONSES)
@requires(Scope.SCHEDULES)
async def get_schedule(schedule_id: UUID, request: Request) -> Response:
    """Retrieve a schedule with its next five and its last five instants."""
    return await respond(request, schedule_id)


@router.patch("/schedules/{schedule_id}/", include_in_schema=False)
@router.patch(
    "/schedules/{schedule_id}",
    response_model=ScheduleView,
    responses=_CHANGE_RESPONSES,
    openapi_extra={**json_body(ScheduleChange, required=True), "parameters": [_IF_MATCH]},
)
@requires(Scope.SCHEDULES)
async def change_schedule(schedule_id: UUID, request: Request) -> Response:
    """Change a schedule. What the body does not have stays as it is.

    If its timing changes, or it is resumed, its next instant is the first one from now on.
    """
    services, caller = get_services(request), principal_of(request)
    async with services.bodies.json(request) as body:
        await _check(services, caller, validated(ScheduleChange, body))
        change = dict(body)
    revisions = expected_revisions(request.headers.get("if-match"))

    def definition(schedule: StoredSchedule) -> ScheduleDefinition:
        """Return the definition after the change."""
        return validated(ScheduleDefinition, merged(schedule, change))

    await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.SCHEDULE_CHANGE, schedule_id, {"changed": sorted(change)}),
        lambda connection: (changes.change(connection, caller.tenant, schedule_id, definition, revisions), True),
    )
    return await respond(request, schedule_id)


@router.delete("/schedules/{schedule_id}/", status_code=204, include_in_schema=False)
@router.delete(
    "/schedules/{schedule_id}",
    status_code=204,
    responses=_DELETE_PROBLEMS,
    openapi_extra={"parameters": [_IF_MATCH]},
)
@requires(Scope.SCHEDULES)
async def delete_schedule(schedule_id: UUID, request: Request) -> Response:
    """Delete a schedule. Its jobs stay."""
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    revisions = expected_revisions(request.headers.get("if-match"))
    await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.SCHEDULE_DELETE, schedule_id),
        lambda connection: (changes.delete(connection, caller.tenant, schedule_id, revisions), True),
    )
    return Response(status_code=204)


async def _check(services: Services, caller: Principal, members: ScheduleDefinition | ScheduleChange) -> None:
    """Check limits, and the job as a submission. Raises InvalidSubmission or ProblemError, which name the field."""
    check_limits(members, services.settings)
    if members.job is not None:
        await services.parser.parse(members.job.submission(), caller, "job.")


async def respond(request: Request, schedule_id: UUID) -> Response:
    """Return a schedule as it is stored."""
    services, tenant = get_services(request), principal_of(request).tenant

    def read(connection: Connection) -> tuple[StoredSchedule, list[dict[str, Any]]]:
        """Read the schedule and its last fires."""
        schedule = reads.read(connection, tenant, schedule_id)
        return schedule, reads.fires(connection, tenant, schedule_id, None, LAST_FIRES)

    schedule, fires = await services.pool.run_sync(read, Lane.BY_ID, None, tenant)
    return JsonResponse(_body(request, schedule, fires), 200, [etag(schedule)])


def _body(request: Request, schedule: StoredSchedule, fires: list[dict[str, Any]]) -> bytes:
    return schedule_body(schedule, fires, root_path(request.scope), with_payload=_sees_payload(principal_of(request)))


def _sees_payload(caller: Principal) -> bool:
    return Scope.JOBS_PAYLOAD in caller.scopes
