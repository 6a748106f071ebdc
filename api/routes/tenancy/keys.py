"""Create, list, rotate and revoke API keys."""

from typing import Annotated

import asyncpg
from fastapi import APIRouter, Path, Query, Request, Response

from api.auth.auditing import audit_entry, change_audited
from api.auth.principal import principal_of
from api.auth.route import SecuredRoute, requires
from api.limits.path_prefix import root_path
from api.services import get_services
from api.views.tenancy.api_keys import (
    PATH,
    ApiKeyBody,
    ApiKeyList,
    ApiKeyListQuery,
    ApiKeyRotationBody,
    ApiKeyView,
    KeyId,
    NewApiKeyView,
    check_grantable,
    key_view,
    new_key_view,
    parse_new_key,
    parse_rotation,
)
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    INVALID_PARAMETER,
    KEY_NOT_FOUND,
    OVERLOADED,
    STORE_UNAVAILABLE,
    TOO_MANY_KEYS,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import problem_responses
from api.web.request_body import check_ignored_body, json_body
from api.web.responses import NO_STORE, JsonResponse
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.store.connection.lanes import Lane
from common.store.tenancy import api_keys, key_changes

router = APIRouter(tags=["keys"], route_class=SecuredRoute)
_CREATE_PROBLEMS = problem_responses(*BODY_PROBLEMS, OVERLOADED, TOO_MANY_KEYS, STORE_UNAVAILABLE)
_ROTATE_PROBLEMS = {
    **_CREATE_PROBLEMS,
    **problem_responses(KEY_NOT_FOUND, *BODY_PROBLEMS, INVALID_PARAMETER, OVERLOADED, TOO_MANY_KEYS, STORE_UNAVAILABLE),
}
_REVOKE_PROBLEMS = problem_responses(KEY_NOT_FOUND, INVALID_PARAMETER, UNSUPPORTED_MEDIA_TYPE, STORE_UNAVAILABLE)
_KeyIdInPath = Annotated[KeyId, Path()]


@router.post("/keys/", status_code=201, include_in_schema=False)
@router.post(
    "/keys",
    status_code=201,
    response_model=NewApiKeyView,
    responses=_CREATE_PROBLEMS,
    openapi_extra=json_body(ApiKeyBody, required=True),
)
@requires(Scope.KEYS)
async def create_key(request: Request) -> Response:
    """Create an API key for the tenant of the caller. The response is the only one that has its secret.

    The key may have no scope that the caller lacks.
    """
    services, caller = get_services(request), principal_of(request)
    async with services.bodies.json(request) as body:
        wanted = parse_new_key(body)
    check_grantable(wanted.scopes, caller.scopes)
    new = key_changes.NewKey.generate(
        caller.tenant, wanted.name, frozenset(wanted.scopes), caller.subject, wanted.expires_in_seconds
    )
    limit = services.settings.max_api_keys_per_tenant
    entry = audit_entry(request, AuditAction.KEY_CREATE, new.token.id, {"name": new.name, "scopes": sorted(new.scopes)})
    key = await change_audited(services.pool, entry, lambda connection: key_changes.create(connection, new, limit))
    services.directory.learn(key)
    view = new_key_view(key, caller.tenant_name, new.token.text)
    return JsonResponse(view.model_dump_json().encode(), 201, [NO_STORE])


@router.get("/keys/", include_in_schema=False)
@router.get("/keys", response_model=ApiKeyList, responses=problem_responses(INVALID_PARAMETER, STORE_UNAVAILABLE))
@requires(Scope.KEYS)
async def list_keys(request: Request, query: Annotated[ApiKeyListQuery, Query()]) -> Response:
    """List the API keys of the caller's tenant, oldest first, the revoked and expired ones too."""
    services, caller = get_services(request), principal_of(request)
    keys = await services.pool.run(
        lambda connection: api_keys.page(connection, caller.tenant, query.after, query.limit), Lane.BY_ID
    )
    root = root_path(request.scope)
    next_path = f"{root}{PATH}?limit={query.limit}&after={keys[-1].id}" if len(keys) == query.limit else None
    view = ApiKeyList(keys=[key_view(key, caller.tenant_name) for key in keys], next=next_path)
    return JsonResponse(view.model_dump_json().encode())


@router.post("/keys/{key_id}/rotate/", status_code=201, include_in_schema=False)
@router.post(
    "/keys/{key_id}/rotate",
    status_code=201,
    response_model=NewApiKeyView,
    responses=_ROTATE_PROBLEMS,
    openapi_extra=json_body(ApiKeyRotationBody, required=False),
)
@requires(Scope.KEYS)
async def rotate_key(key_id: _KeyIdInPath, request: Request) -> Response:
    """Create a key with the name, scopes and expiry of another one, which is accepted for `overlap_seconds` more."""
    services, caller = get_services(request), principal_of(request)
    async with services.bodies.json(request, optional=True) as body:
        overlap_s = parse_rotation(body).overlap_seconds
    limit = services.settings.max_api_keys_per_tenant
    entry = audit_entry(request, AuditAction.KEY_ROTATE, key_id, {"overlap_seconds": overlap_s})

    async def rotate(connection: asyncpg.Connection) -> key_changes.Rotation:
        """Store the successor, if the caller could create it."""
        old = await key_changes.lock(connection, caller.tenant, key_id)
        check_grantable(sorted(old.scopes), caller.scopes)
        return await key_changes.replace(connection, old, caller.subject, overlap_s, limit)

    rotation = await change_audited(services.pool, entry, rotate)
    for key in (rotation.old, rotation.new):
        services.directory.learn(key)
    view = new_key_view(rotation.new, caller.tenant_name, rotation.token.text)
    return JsonResponse(view.model_dump_json().encode(), 201, [NO_STORE])


@router.post("/keys/{key_id}/revoke/", include_in_schema=False)
@router.post("/keys/{key_id}/revoke", response_model=ApiKeyView, responses=_REVOKE_PROBLEMS)
@requires(Scope.KEYS)
async def revoke_key(key_id: _KeyIdInPath, request: Request) -> Response:
    """Revoke an API key. Every process refuses it within five seconds. The request is safe to repeat."""
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    entry = audit_entry(request, AuditAction.KEY_REVOKE, key_id)
    key = await change_audited(
        services.pool, entry, lambda connection: key_changes.revoke(connection, caller.tenant, key_id)
    )
    services.directory.learn(key)
    return JsonResponse(key_view(key, caller.tenant_name).model_dump_json().encode())
