"""Create, list, change and delete the endpoints of webhooks, rotate their secrets, send test events."""

import secrets as random_secrets
from collections.abc import Callable
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
from api.schemas import JobAccepted
from api.services import Services, get_services
from api.views.schedules import expected_revisions
from api.views.webhooks.endpoints import (
    PATH,
    EndpointBody,
    EndpointChange,
    EndpointList,
    EndpointListQuery,
    EndpointView,
    NewSecretView,
    SecretRotationBody,
    column_values,
    endpoint_body,
    etag,
    list_body,
    split_disabled,
    to_search,
)
from api.web.problem_kinds import (
    BODY_PROBLEMS,
    EXPENSIVE_READ_PROBLEMS,
    INVALID_PARAMETER,
    OVERLOADED,
    PRECONDITION_FAILED,
    SCOPE_MISSING,
    STORE_UNAVAILABLE,
    TENANT_DRAINING,
    UNSUPPORTED_MEDIA_TYPE,
)
from api.web.problems import ProblemError, problem_responses, validated
from api.web.request_body import check_ignored_body, json_body
from api.web.resource_problem_kinds import ENDPOINT_DISABLED, ENDPOINT_NOT_FOUND, TOO_MANY_ENDPOINTS, WEBHOOKS_OFF
from api.web.responses import NO_STORE, JsonResponse, etag_header, if_match_parameter
from common import secret_encryption
from common.domain.states import State
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.scopes import Scope
from common.domain.webhooks import signature
from common.domain.webhooks.errors import EndpointDisabled, WebhooksOff
from common.domain.webhooks.events import QUEUE
from common.store.connection.lanes import Lane
from common.store.webhooks import endpoints
from common.store.webhooks.endpoints import NewEndpoint, SecretTimes
from common.store.webhooks.records import StoredEndpoint

router = APIRouter(tags=["webhooks"], route_class=SecuredRoute)
_ETAG = etag_header("endpoint")
_WITH_ETAG: dict[int | str, dict[str, Any]] = {200: {"headers": {"ETag": _ETAG}}}
_LOCATION = {"description": "The path of the endpoint.", "schema": {"type": "string"}}
_WRITE_KINDS = (*BODY_PROBLEMS, OVERLOADED, WEBHOOKS_OFF, STORE_UNAVAILABLE)
_VERB_KINDS = (ENDPOINT_NOT_FOUND, INVALID_PARAMETER, STORE_UNAVAILABLE)
_CREATE_RESPONSES = {
    **problem_responses(*_WRITE_KINDS, TOO_MANY_ENDPOINTS),
    201: {"description": "The endpoint, with its secret", "headers": {"Location": _LOCATION, "ETag": _ETAG}},
}
_READ_RESPONSES = {**problem_responses(*_VERB_KINDS), **_WITH_ETAG}
_CHANGE_RESPONSES = {
    **problem_responses(*BODY_PROBLEMS, OVERLOADED, *_VERB_KINDS, PRECONDITION_FAILED),
    **_WITH_ETAG,
}
_ROTATE_RESPONSES = {**problem_responses(*BODY_PROBLEMS, OVERLOADED, WEBHOOKS_OFF, *_VERB_KINDS), **_WITH_ETAG}
_IF_MATCH = if_match_parameter("endpoint", 'W/"1"')


@router.post("/webhooks/endpoints/", status_code=201, include_in_schema=False)
@router.post(
    "/webhooks/endpoints",
    status_code=201,
    response_model=NewSecretView,
    responses=_CREATE_RESPONSES,
    openapi_extra=json_body(EndpointBody, required=True),
)
@requires(Scope.WEBHOOKS)
async def create_webhook_endpoint(request: Request) -> Response:
    """Create an endpoint. The response has its secret, which is never shown again."""
    services, caller, endpoint_id = get_services(request), principal_of(request), new_job_id_now()
    async with services.bodies.json(request) as body:
        members = validated(EndpointBody, body)
    secret, encrypted = _new_secret(services, endpoint_id)
    values, disabled = split_disabled(column_values(members, services.settings))
    _check_payload(caller, values)
    new = NewEndpoint(
        endpoint_id, caller.tenant, caller.submitted_by, values, new_job_id_now(), encrypted, disabled=disabled
    )
    limit = services.settings.default_max_webhooks
    endpoint, times = await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.WEBHOOK_CREATE, endpoint_id, {"url": values["url"]}),
        lambda connection: (_with_secrets(connection, endpoints.create(connection, new, limit)), True),
    )
    services.webhooks.forget(caller.tenant)
    root = root_path(request.scope)
    headers = [etag(endpoint), NO_STORE, (b"location", f"{root}{PATH}/{endpoint_id}".encode("ascii"))]
    return JsonResponse(endpoint_body(endpoint, times, root, secret), 201, headers)


@router.get("/webhooks/endpoints/", include_in_schema=False)
@router.get(
    "/webhooks/endpoints",
    response_model=EndpointList,
    responses=problem_responses(INVALID_PARAMETER, *EXPENSIVE_READ_PROBLEMS),
)
@requires(Scope.WEBHOOKS)
async def list_webhook_endpoints(request: Request, query: Annotated[EndpointListQuery, Query()]) -> Response:
    """List endpoints by id, the oldest first. Follow `next` to page through the list."""
    services, caller = get_services(request), principal_of(request)
    found = await services.pool.run_sync(
        lambda connection: endpoints.page(connection, caller.tenant, to_search(query), query.after, query.limit),
        Lane.EXPENSIVE,
        partial(until_disconnected, request),
        caller.tenant,
    )
    return JsonResponse(list_body(query, found, root_path(request.scope)))


@router.get("/webhooks/endpoints/{endpoint_id}/", include_in_schema=False)
@router.get("/webhooks/endpoints/{endpoint_id}", response_model=EndpointView, responses=_READ_RESPONSES)
@requires(Scope.WEBHOOKS)
async def get_webhook_endpoint(endpoint_id: UUID, request: Request) -> Response:
    """Retrieve an endpoint with the state of its circuit and the times of its secrets."""
    services, tenant = get_services(request), principal_of(request).tenant
    endpoint, times = await services.pool.run_sync(
        lambda connection: _with_secrets(connection, endpoints.read(connection, tenant, endpoint_id)),
        Lane.BY_ID,
        None,
        tenant,
    )
    return JsonResponse(endpoint_body(endpoint, times, root_path(request.scope)), 200, [etag(endpoint)])


@router.patch("/webhooks/endpoints/{endpoint_id}/", include_in_schema=False)
@router.patch(
    "/webhooks/endpoints/{endpoint_id}",
    response_model=EndpointView,
    responses=_CHANGE_RESPONSES,
    openapi_extra={**json_body(EndpointChange, required=True), "parameters": [_IF_MATCH]},
)
@requires(Scope.WEBHOOKS)
async def change_webhook_endpoint(endpoint_id: UUID, request: Request) -> Response:
    """Change an endpoint. What the body does not have stays as it is.

    `"disabled": false` enables it, whatever had disabled it, and closes its circuit.
    """
    services, caller = get_services(request), principal_of(request)
    async with services.bodies.json(request) as body:
        values = column_values(validated(EndpointChange, body), services.settings)
    revisions = expected_revisions(request.headers.get("if-match"))
    endpoint, times = await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.WEBHOOK_CHANGE, endpoint_id, {"changed": sorted(values)}),
        lambda connection: (
            _with_secrets(
                connection,
                endpoints.change(
                    connection, caller.tenant, endpoint_id, values, partial(_check_payload, caller), revisions
                ),
            ),
            True,
        ),
    )
    services.webhooks.forget(caller.tenant)
    return JsonResponse(endpoint_body(endpoint, times, root_path(request.scope)), 200, [etag(endpoint)])


@router.delete("/webhooks/endpoints/{endpoint_id}/", status_code=204, include_in_schema=False)
@router.delete(
    "/webhooks/endpoints/{endpoint_id}",
    status_code=204,
    responses=problem_responses(*_VERB_KINDS, UNSUPPORTED_MEDIA_TYPE, PRECONDITION_FAILED),
    openapi_extra={"parameters": [_IF_MATCH]},
)
@requires(Scope.WEBHOOKS)
async def delete_webhook_endpoint(endpoint_id: UUID, request: Request) -> Response:
    """Delete an endpoint and its secrets. Its deliveries stay in the list of jobs; those that wait end FAILED."""
    services, caller = get_services(request), principal_of(request)
    await check_ignored_body(request, services.settings)
    revisions = expected_revisions(request.headers.get("if-match"))
    await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.WEBHOOK_DELETE, endpoint_id),
        lambda connection: (endpoints.delete(connection, caller.tenant, endpoint_id, revisions), True),
    )
    services.webhooks.forget(caller.tenant)
    return Response(status_code=204)


@router.post("/webhooks/endpoints/{endpoint_id}/rotate/", include_in_schema=False)
@router.post(
    "/webhooks/endpoints/{endpoint_id}/rotate",
    response_model=NewSecretView,
    responses=_ROTATE_RESPONSES,
    openapi_extra=json_body(SecretRotationBody, required=False),
)
@requires(Scope.WEBHOOKS)
async def rotate_webhook_secret(endpoint_id: UUID, request: Request) -> Response:
    """Give an endpoint a new secret. Messages are signed with the old one too until its overlap is over."""
    services, tenant = get_services(request), principal_of(request).tenant
    async with services.bodies.json(request, optional=True) as body:
        wanted_s = validated(SecretRotationBody, body).overlap_seconds
    secret, encrypted = _new_secret(services, endpoint_id)
    overlap_s = services.settings.webhook_rotation_overlap_seconds if wanted_s is None else float(wanted_s)
    rotate: Callable[[Connection], StoredEndpoint] = partial(
        endpoints.rotate,
        tenant=tenant,
        endpoint_id=endpoint_id,
        secret_id=new_job_id_now(),
        secret=encrypted,
        overlap_s=overlap_s,
    )
    endpoint, times = await change_audited_sync(
        services.pool,
        audit_entry(request, AuditAction.WEBHOOK_ROTATE, endpoint_id, {"overlap_seconds": overlap_s}),
        lambda connection: (_with_secrets(connection, rotate(connection)), True),
    )
    body_ = endpoint_body(endpoint, times, root_path(request.scope), secret)
    return JsonResponse(body_, 200, [etag(endpoint), NO_STORE])


@router.post("/webhooks/endpoints/{endpoint_id}/test/", status_code=202, include_in_schema=False)
@router.post(
    "/webhooks/endpoints/{endpoint_id}/test",
    status_code=202,
    response_model=JobAccepted,
    responses=problem_responses(*_VERB_KINDS, UNSUPPORTED_MEDIA_TYPE, ENDPOINT_DISABLED, TENANT_DRAINING),
)
@requires(Scope.WEBHOOKS)
async def test_webhook_endpoint(endpoint_id: UUID, request: Request) -> Response:
    """Send an event of the type `webhook.test` to an endpoint. Its delivery is a job, whose id is the response."""
    services, caller, delivery_id = get_services(request), principal_of(request), new_job_id_now()
    caller.check_may_submit()
    await check_ignored_body(request, services.settings)

    def send(connection: Connection) -> tuple[None, bool]:
        """Store the delivery."""
        if not endpoints.send_test(connection, caller.tenant, endpoint_id, delivery_id):
            raise EndpointDisabled
        return None, True

    entry = audit_entry(request, AuditAction.WEBHOOK_TEST, endpoint_id, {"job_id": str(delivery_id)})
    await change_audited_sync(services.pool, entry, send)
    return accepted(services, delivery_id)


def accepted(services: Services, delivery_id: UUID) -> Response:
    """Ring for a delivery that is stored, and return the response."""
    services.doorbells.ring_soon(QUEUE, 1)
    body = b'{"job_id":"%b","status":"%b"}' % (str(delivery_id).encode(), State.PENDING.encode())
    return JsonResponse(body, 202)


def _new_secret(services: Services, endpoint_id: UUID) -> tuple[str, bytes]:
    """Return a new secret, and the same encrypted. Raises WebhooksOff."""
    keys = services.settings.webhook_keys
    if not keys:
        raise WebhooksOff
    secret = signature.secret_text(random_secrets.token_bytes(signature.SECRET_BYTES))
    return secret, secret_encryption.encrypt(secret, keys, endpoint_id.bytes)


def _check_payload(caller: Principal, values: dict[str, Any]) -> None:
    """Raise ProblemError if a caller who may not see results would have them sent."""
    if values.get("include_result") and Scope.JOBS_PAYLOAD not in caller.scopes:
        raise ProblemError(SCOPE_MISSING, f"include_result needs the scope {Scope.JOBS_PAYLOAD}.")


def _with_secrets(connection: Connection, endpoint: StoredEndpoint) -> tuple[StoredEndpoint, list[SecretTimes]]:
    return endpoint, endpoints.secrets(connection, endpoint.tenant, endpoint.id)
