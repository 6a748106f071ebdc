"""Create, list, change, suspend, drain and remove tenants: for operators."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Annotated

import asyncpg
from fastapi import APIRouter, Path, Query, Request, Response

from api.auth.auditing import audit_entry, log_entry
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.tenancy.tenants import (
    PATH,
    TenantBody,
    TenantChangeBody,
    TenantList,
    TenantListQuery,
    TenantName,
    TenantView,
    parse_new_tenant,
    parse_tenant_change,
    tenant_view,
)
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    DEFAULT_TENANT_NEEDED,
    INVALID_PARAMETER,
    OVERLOADED,
    STORE_UNAVAILABLE,
    TENANT_EXISTS,
    TENANT_NOT_FOUND,
    TENANT_REMOVING,
    TOO_MANY_TENANTS,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body, json_body
from api.web.responses import JsonResponse
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import Tenant, TenantRequest
from common.store.connection.lanes import Lane
from common.store.tenancy import audit, tenants
from common.telemetry import logs

log = logs.get("api")
router = APIRouter(tags=["tenants"], route_class=SecuredRoute)
_CREATE_PROBLEMS = problem_responses(*BODY_PROBLEMS, OVERLOADED, TENANT_EXISTS, TOO_MANY_TENANTS, STORE_UNAVAILABLE)
_READ_PROBLEMS = problem_responses(TENANT_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE)
_CHANGE_PROBLEMS = problem_responses(
    TENANT_NOT_FOUND, *BODY_PROBLEMS, INVALID_PARAMETER, OVERLOADED, TENANT_REMOVING, STORE_UNAVAILABLE
)
_STATE_KINDS = (TENANT_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE)
_STATE_PROBLEMS = problem_responses(*_STATE_KINDS, TENANT_REMOVING)
_SUSPEND_PROBLEMS = problem_responses(*_STATE_KINDS, TENANT_REMOVING, DEFAULT_TENANT_NEEDED)
_REMOVE_PROBLEMS = problem_responses(*_STATE_KINDS, DEFAULT_TENANT_NEEDED)
_NameInPath = Annotated[TenantName, Path()]


@router.post("/tenants/", status_code=201, include_in_schema=False)
@router.post(
    "/tenants",
    status_code=201,
    response_model=TenantView,
    responses=_CREATE_PROBLEMS,
    openapi_extra=json_body(TenantBody, required=True),
)
@requires(Scope.ADMIN)
async def create_tenant(request: Request) -> Response:
    """Create a tenant. Its first API key is created by `POST /keys` with the header `Jobproc-Tenant`."""
    services = get_services(request)
    async with services.bodies.json(request) as body:
        name, values = parse_new_tenant(body)
    limit = services.settings.max_tenants

    async def create(connection: asyncpg.Connection) -> tuple[Tenant, bool]:
        """Store the tenant and its audit entry."""
        return await tenants.create(connection, name, values, limit), True

    set_values = {column: value for column, value in values.items() if value is not None}
    tenant, _ = await _audited(request, AuditAction.TENANT_CREATE, name, create, set_values)
    return _respond(request, tenant, "created", 201)


@router.get("/tenants/", include_in_schema=False)
@router.get("/tenants", response_model=TenantList, responses=problem_responses(INVALID_PARAMETER, STORE_UNAVAILABLE))
@requires(Scope.ADMIN)
async def list_tenants(request: Request, query: Annotated[TenantListQuery, Query()]) -> Response:
    """List tenants by name."""
    services = get_services(request)
    found = await services.pool.run(lambda connection: tenants.page(connection, query.after, query.limit), Lane.BY_ID)
    root = root_path(request.scope)
    next_path = f"{root}{PATH}?limit={query.limit}&after={found[-1].name}" if len(found) == query.limit else None
    view = TenantList(tenants=[tenant_view(tenant) for tenant in found], next=next_path)
    return JsonResponse(view.model_dump_json().encode())


@router.get("/tenants/{tenant_name}/", include_in_schema=False)
@router.get("/tenants/{tenant_name}", response_model=TenantView, responses=_READ_PROBLEMS)
@requires(Scope.ADMIN)
async def get_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """Retrieve a tenant with its weight and quotas."""
    services = get_services(request)
    tenant = await services.pool.run(lambda connection: tenants.read(connection, tenant_name), Lane.BY_ID)
    return JsonResponse(tenant_view(tenant).model_dump_json().encode())


@router.patch("/tenants/{tenant_name}/", include_in_schema=False)
@router.patch(
    "/tenants/{tenant_name}",
    response_model=TenantView,
    responses=_CHANGE_PROBLEMS,
    openapi_extra=json_body(TenantChangeBody, required=True),
)
@requires(Scope.ADMIN)
async def change_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """Change the weight or quotas of a tenant. What the body does not have stays as it is."""
    services = get_services(request)
    async with services.bodies.json(request) as body:
        values = parse_tenant_change(body)

    async def change(connection: asyncpg.Connection) -> tuple[Tenant, bool]:
        """Change the tenant and store the audit entry."""
        return await tenants.change(connection, tenant_name, values), True

    tenant, _ = await _audited(request, AuditAction.TENANT_CHANGE, tenant_name, change, values)
    return _respond(request, tenant, "changed")


@router.post("/tenants/{tenant_name}/suspend/", include_in_schema=False)
@router.post("/tenants/{tenant_name}/suspend", response_model=TenantView, responses=_SUSPEND_PROBLEMS)
@requires(Scope.ADMIN)
async def suspend_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """Suspend a tenant: its clients are refused with 403, and no waiting job of it begins. Safe to repeat."""
    return await _request(tenant_name, request, TenantRequest.SUSPEND)


@router.post("/tenants/{tenant_name}/resume/", include_in_schema=False)
@router.post("/tenants/{tenant_name}/resume", response_model=TenantView, responses=_STATE_PROBLEMS)
@requires(Scope.ADMIN)
async def resume_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """End the suspension or draining of a tenant. Safe to repeat."""
    return await _request(tenant_name, request, TenantRequest.RESUME)


@router.post("/tenants/{tenant_name}/drain/", include_in_schema=False)
@router.post("/tenants/{tenant_name}/drain", response_model=TenantView, responses=_STATE_PROBLEMS)
@requires(Scope.ADMIN)
async def drain_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """Drain a tenant: its clients submit and retry nothing, and its jobs run to their end. Safe to repeat."""
    return await _request(tenant_name, request, TenantRequest.DRAIN)


@router.post("/tenants/{tenant_name}/remove/", include_in_schema=False)
@router.post("/tenants/{tenant_name}/remove", response_model=TenantView, responses=_REMOVE_PROBLEMS)
@requires(Scope.ADMIN)
async def remove_tenant(tenant_name: _NameInPath, request: Request) -> Response:
    """Remove a tenant for good: its keys are revoked, then all that it has is deleted, and at last the tenant.

    The deletion begins after JOBPROC_TENANT_REMOVAL_DELAY_SECONDS. Until its end the tenant is here as `REMOVING`; from
    then on its name can be used again. Safe to repeat.
    """
    return await _request(tenant_name, request, TenantRequest.REMOVE)


async def _request(name: str, request: Request, verb: TenantRequest) -> Response:
    services = get_services(request)
    await check_ignored_body(request, services.settings)
    tenant, changed = await _audited(
        request, AuditAction(f"tenant.{verb}"), name, lambda connection: tenants.request(connection, name, verb)
    )
    return _respond(request, tenant, tenant.state.lower() if changed else None)


async def _audited(
    request: Request,
    action: AuditAction,
    name: str,
    change: Callable[[asyncpg.Connection], Awaitable[tuple[Tenant, bool]]],
    details: Mapping[str, object] | None = None,
) -> tuple[Tenant, bool]:
    """Run a change of a tenant; return the tenant, and True if it changed.

    Then one entry is in the logs of two tenants: of this one, and of the operator, whose log outlives a removal.
    """
    of_operator = {"operator_of": principal_of(request).tenant_name}
    entry = audit_entry(request, action, name, {**(details or {}), **of_operator})

    async def run(connection: asyncpg.Connection) -> tuple[Tenant, bool]:
        async with connection.transaction():
            tenant, changed = await change(connection)
            if changed:
                for owner in sorted({tenant.id, entry.tenant}):
                    await audit.record(connection, replace(entry, tenant=owner))
            return tenant, changed

    tenant, changed = await get_services(request).pool.run(run, Lane.INTAKE)
    if changed:
        log_entry(replace(entry, tenant=tenant.id))
    return tenant, changed


def _respond(request: Request, tenant: Tenant, change: str | None, status: int = 200) -> Response:
    """Return the tenant; `change` is what the log says about it. This process knows the change at once."""
    get_services(request).directory.learn_tenant(tenant)
    if change is not None:
        log.info("tenant_changed", tenant=tenant.name, change=change, by=principal_of(request).subject)
    return JsonResponse(tenant_view(tenant).model_dump_json().encode(), status)
