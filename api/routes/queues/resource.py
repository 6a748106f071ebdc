"""List, read and change queues, pause and resume them."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from sqlalchemy import Connection

from api.auth.access import check_scope
from api.auth.auditing import audit_entry, change_audited_sync
from api.auth.expensive_read import until_disconnected
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.routes.queues.feed_switch import until_switched
from api.routes.queues.pause_wait import wait_for_claims
from api.services import get_services
from api.views.queues.resource import QueueChange, QueueDetail, QueueList, QueueListQuery, etag, list_body, queue_body
from api.views.schedules import expected_revisions
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    EXPENSIVE_READ_PROBLEMS,
    FEED_NOT_SWITCHED,
    INVALID_PARAMETER,
    OVERLOADED,
    PRECONDITION_FAILED,
    TOO_MANY_FOLLOWED_QUEUES,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses, validated
from api.web.request_body import check_ignored_body, json_body
from api.web.resource_problem_kinds import QUEUE_CHANGE_UNCONFIRMED, QUEUE_MANAGED, QUEUE_NOT_FOUND
from api.web.responses import JsonResponse, etag_header, if_match_parameter
from api.web.stored_text import StoredText
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.queue_policies import ALL_TENANTS, QueuePolicies
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.queues import policies

router = APIRouter(tags=["queues"], route_class=SecuredRoute)
QueueName = Annotated[
    StoredText, Path(min_length=1, max_length=63, description="The name of the queue.", examples=["default"])
]
AllTenants = Annotated[
    bool,
    Query(
        examples=[False],
        description="True: the policy of the operators, for the jobs of all tenants; needs the scope admin as well.",
    ),
]
_ETAG = etag_header("policy")
_WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": {"ETag": _ETAG}}}
_READ_RESPONSES = {**problem_responses(QUEUE_NOT_FOUND, INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS), **_WITH_ETAG}
_VERB_KINDS = (QUEUE_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, *EXPENSIVE_READ_PROBLEMS)
_PAUSE_RESPONSES = {**problem_responses(*_VERB_KINDS, QUEUE_CHANGE_UNCONFIRMED), **_WITH_ETAG}
_CHANGE_RESPONSES = {
    **problem_responses(
        *BODY_PROBLEMS,
        OVERLOADED,
        QUEUE_NOT_FOUND,
        INVALID_PARAMETER,
        QUEUE_MANAGED,
        PRECONDITION_FAILED,
        QUEUE_CHANGE_UNCONFIRMED,
        FEED_NOT_SWITCHED,
        TOO_MANY_FOLLOWED_QUEUES,
        *EXPENSIVE_READ_PROBLEMS,
    ),
    **_WITH_ETAG,
}
_IF_MATCH = if_match_parameter("policy", "*")
_RESUME_RESPONSES = {**problem_responses(*_VERB_KINDS), **_WITH_ETAG}


@router.get("/queues/", include_in_schema=False)
@router.get(
    "/queues", response_model=QueueList, responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS)
)
@requires(Scope.QUEUES)
async def list_queues(request: Request, query: Annotated[QueueListQuery, Query()]) -> Response:
    """List the queues of all operations and workers by name, with their policies. Follow `next` to page through it."""
    services, caller = get_services(request), principal_of(request)
    found = await services.pool.run_sync(
        lambda connection: policies.page(connection, caller.tenant, query.after, query.limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        caller.tenant,
    )
    return JsonResponse(list_body(query, found, root_path(request.scope)))


@router.get("/queues/{queue_name}/", include_in_schema=False)
@router.get("/queues/{queue_name}", response_model=QueueDetail, responses=_READ_RESPONSES)
@requires(Scope.QUEUES)
async def get_queue(queue_name: QueueName, request: Request, *, all_tenants: AllTenants = False) -> Response:
    """Retrieve a queue with its policies, and how many jobs of the tenant are due and run. The ETag is its policy's."""
    _policy_tenant(request, all_tenants=all_tenants)
    return await _respond(request, queue_name, all_tenants=all_tenants)


@router.post("/queues/{queue_name}/pause/", include_in_schema=False)
@router.post("/queues/{queue_name}/pause", response_model=QueueDetail, responses=_PAUSE_RESPONSES)
@requires(Scope.QUEUES)
async def pause_queue(queue_name: QueueName, request: Request, *, all_tenants: AllTenants = False) -> Response:
    """Pause a queue: after the response no worker claims a job of the tenant in it, until it is resumed.

    What is claimed by then runs on: `running` in the response. Safe to repeat.
    """
    await _set_paused(request, queue_name, AuditAction.QUEUE_PAUSE, all_tenants=all_tenants, paused=True)
    services = get_services(request)
    await wait_for_claims(services.pool, services.settings.queue_pause_timeout_seconds)
    return await _respond(request, queue_name, all_tenants=all_tenants)


@router.post("/queues/{queue_name}/resume/", include_in_schema=False)
@router.post("/queues/{queue_name}/resume", response_model=QueueDetail, responses=_RESUME_RESPONSES)
@requires(Scope.QUEUES)
async def resume_queue(queue_name: QueueName, request: Request, *, all_tenants: AllTenants = False) -> Response:
    """Resume a queue. Its jobs start in their order. Safe to repeat."""
    await _set_paused(request, queue_name, AuditAction.QUEUE_RESUME, all_tenants=all_tenants, paused=False)
    get_services(request).doorbells.ring_soon(queue_name, 1)
    return await _respond(request, queue_name, all_tenants=all_tenants)


@router.patch("/queues/{queue_name}/", include_in_schema=False)
@router.patch(
    "/queues/{queue_name}",
    response_model=QueueDetail,
    responses=_CHANGE_RESPONSES,
    openapi_extra={**json_body(QueueChange, required=True), "parameters": [_IF_MATCH]},
)
@requires(Scope.QUEUES)
async def change_queue(queue_name: QueueName, request: Request, *, all_tenants: AllTenants = False) -> Response:
    """Change the policy of a queue. What the body does not have stays as it is.

    Each claim that begins after the response keeps to it, and with `events: true` GET /events has each change of a job
    that happens after it. What runs by then runs on: for as long, more jobs may run
    than a lower `concurrency` says. Of a policy whose limits a file declares, `paused` alone can be changed.
    """
    services, caller = get_services(request), principal_of(request)
    tenant = _policy_tenant(request, all_tenants=all_tenants)
    async with services.bodies.json(request) as body:
        members = validated(QueueChange, body).members()
    revisions = expected_revisions(request.headers.get("if-match"))
    details = {"changed": sorted(members), **({"all_tenants": True} if all_tenants else {})}
    change = partial(
        change_audited_sync,
        services.pool,
        audit_entry(request, AuditAction.QUEUE_CHANGE, queue_name, details),
        lambda connection: (
            None,
            policies.change(connection, tenant, queue_name, members, caller.submitted_by, revisions),
        ),
    )
    await until_switched(change, services.settings.queue_pause_timeout_seconds)
    if members.keys() != {policies.EVENTS}:
        await wait_for_claims(services.pool, services.settings.queue_pause_timeout_seconds)
    services.doorbells.ring_soon(queue_name, 1)
    return await _respond(request, queue_name, all_tenants=all_tenants)


async def _set_paused(request: Request, name: str, action: AuditAction, *, all_tenants: bool, paused: bool) -> None:
    services, caller = get_services(request), principal_of(request)
    tenant = _policy_tenant(request, all_tenants=all_tenants)
    await check_ignored_body(request, services.settings)
    await change_audited_sync(
        services.pool,
        audit_entry(request, action, name, {"all_tenants": True} if all_tenants else None),
        lambda connection: (
            None,
            policies.set_paused(connection, tenant, name, caller.submitted_by, paused=paused),
        ),
    )


def _policy_tenant(request: Request, *, all_tenants: bool) -> int:
    """Return whose policy a request is about. Raises ProblemError if it may not be about that of the operators."""
    caller = principal_of(request)
    if not all_tenants:
        return caller.tenant
    check_scope(caller, Scope.ADMIN)
    return ALL_TENANTS


async def _respond(request: Request, name: str, *, all_tenants: bool) -> Response:
    """Return a queue as it is stored."""
    services, tenant = get_services(request), principal_of(request).tenant
    limit = services.settings.queue_count_limit

    def read(connection: Connection) -> tuple[QueuePolicies, tuple[int, int]]:
        """Read the policies, and count the jobs."""
        return policies.read(connection, tenant, name), policies.jobs(connection, tenant, name, limit)

    queue, (queued, running) = await services.pool.run_sync(
        read, Lane.EXPENSIVE, partial(until_disconnected, request), tenant
    )
    body = queue_body(queue, queued, running, root_path(request.scope))
    return JsonResponse(body, 200, [etag(queue.of_operators if all_tenants else queue.own)])
