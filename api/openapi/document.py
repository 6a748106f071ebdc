"""The OpenAPI document: FastAPI's own, completed in seven steps that the framework cannot derive from the routes."""

from collections.abc import Iterable
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.auth.access import TENANT_HEADER
from api.auth.route import BEARER, OPEN_ID
from api.limits.path_prefix import root_path
from api.openapi.examples import add_examples
from api.openapi.links import add_links
from api.submit.request_models import BODIES, REF
from api.views.bulk_actions.requests import BulkActionBody, BulkActionStartBody
from api.views.queues.resource import QueueChange
from api.views.tenancy.api_keys import ApiKeyBody, ApiKeyRotationBody
from api.views.tenancy.tenants import TenantBody, TenantChangeBody
from api.views.webhooks.endpoints import EndpointBody, EndpointChange, SecretRotationBody
from api.web.problem_kinds import (
    HOST_NOT_ALLOWED,
    ISSUER_UNAVAILABLE,
    ORIGIN_NOT_ALLOWED,
    RATE_LIMITED,
    SCOPE_MISSING,
    TENANT_SUSPENDED,
    UNAUTHENTICATED,
    ProblemKind,
)
from api.web.problems import MEDIA_TYPE, problem_responses
from api.web.responses import JsonResponse
from common.domain.tenancy.scopes import DESCRIPTIONS
from common.schedule_definitions.definition import ScheduleChange, ScheduleDefinition
from common.settings.access.oidc import DISCOVERY_PATH


def install(app: FastAPI, issuer: str) -> None:
    """Make the app serve the completed document. `issuer`: the OpenID provider; empty: there is none."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        _add_refusals(document)
        _add_security(document, issuer)
        _keep_only_problems(document)
        _add_request_models(document)
        _remove_defaults(
            parameter["schema"]
            for path in document["paths"].values()
            for operation in path.values()
            for parameter in operation.get("parameters", ())
        )
        add_examples(document)
        add_links(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way to extend it
    app.add_api_route("/openapi.json", _serve, include_in_schema=False)


async def _serve(request: Request) -> Response:
    """Return the document, with the path under which its client reaches the API."""
    document, root = request.app.openapi(), root_path(request.scope)
    if root:
        description = document["info"]["description"].replace("(/", f"({root}/")
        document = document | {"servers": [{"url": root}], "info": document["info"] | {"description": description}}
    return JsonResponse(orjson.dumps(document))


def _add_refusals(document: dict[str, Any]) -> None:
    """Add the problems of the browser guard, which refuses requests before any route."""
    for path in document["paths"].values():
        for method, operation in path.items():
            kinds = (HOST_NOT_ALLOWED,) if method == "get" else (HOST_NOT_ALLOWED, ORIGIN_NOT_ALLOWED)
            _add_problems(operation, *kinds)


def _add_problems(operation: dict[str, Any], *kinds: ProblemKind) -> None:
    """Add problems to an operation, beside those of the same status that it has."""
    for status, response in problem_responses(*kinds).items():
        del response["model"]  # the framework's name for the schema
        own = operation["responses"].setdefault(str(status), response)
        examples = own.get("content", {}).get(MEDIA_TYPE, {}).get("examples")
        if examples is not None:
            examples.update(response["content"][MEDIA_TYPE]["examples"])


def _add_security(document: dict[str, Any], issuer: str) -> None:
    """Add how callers authenticate, and the problems of those that may not do what they ask for."""
    schemes = document["components"]["securitySchemes"] = {
        BEARER: {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, `jp_…`. Each operation names the scope that the key must have. "
            + " ".join(f"`{scope}`: {text}" for scope, text in DESCRIPTIONS.items())
            + f" A caller with `admin` acts for the tenant that the header `{TENANT_HEADER}` names.",
        },
    }
    if issuer:
        schemes[OPEN_ID] = {"type": "openIdConnect", "openIdConnectUrl": issuer.rstrip("/") + DISCOVERY_PATH}
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        if needed := operation.get("security"):
            if issuer and len(needed) == 1:
                needed.append({OPEN_ID: needed[0][BEARER]})
            _add_problems(operation, UNAUTHENTICATED, SCOPE_MISSING, TENANT_SUSPENDED, RATE_LIMITED, ISSUER_UNAVAILABLE)


def _keep_only_problems(document: dict[str, Any]) -> None:
    """Remove the plain JSON form of each problem, which FastAPI adds beside application/problem+json."""
    for operation in (operation for path in document["paths"].values() for operation in path.values()):
        for response in operation["responses"].values():
            if MEDIA_TYPE in response.get("content", {}):
                response["content"].pop("application/json", None)


def _add_request_models(document: dict[str, Any]) -> None:
    """Add the models of request bodies. FastAPI does not know them, because the routes read their bodies themselves."""
    of_tenancy = (ApiKeyBody, ApiKeyRotationBody, TenantBody, TenantChangeBody)
    of_webhooks = (EndpointBody, EndpointChange, SecretRotationBody)
    of_many_jobs = (BulkActionBody, BulkActionStartBody, ScheduleDefinition, ScheduleChange, QueueChange, *of_webhooks)
    bodies: tuple[type[BaseModel], ...] = (*BODIES, *of_many_jobs, *of_tenancy)
    _, models = models_json_schema([(body, "validation") for body in bodies], ref_template=REF)
    _remove_defaults(member for model in models["$defs"].values() for member in model.get("properties", {}).values())
    document["components"]["schemas"] = dict(sorted((document["components"]["schemas"] | models["$defs"]).items()))


def _remove_defaults(schemas: Iterable[dict[str, Any]]) -> None:
    """Remove the keyword `default` from schemas of what clients send. The descriptions have the defaults.

    Generators take it for a value that is always there: types require it, and clients send it in every request.
    """
    for schema in schemas:
        schema.pop("default", None)
