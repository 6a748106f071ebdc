"""Every route with every single scope: the one that it declares lets a caller in, and no other."""

from collections.abc import Iterator

import httpx
import pytest
from rig.keys import client_of, new_key
from rig.system import System

from api.auth.route import SecuredRoute
from common.domain.tenancy.scopes import Scope

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


@pytest.fixture(scope="module")
def clients(secured: System) -> Iterator[dict[Scope, httpx.Client]]:
    """Return a client for each scope, which has no other."""
    clients = {scope: client_of(secured, new_key(secured.database, [scope])) for scope in Scope}
    yield clients
    for client in clients.values():
        client.close()


def routes() -> list[SecuredRoute]:
    from importlib import import_module
    from pkgutil import walk_packages

    from api import routes as package

    found = walk_packages(package.__path__, f"{package.__name__}.")
    modules = [import_module(module.name) for module in found if not module.ispkg]
    return [route for module in modules if hasattr(module, "router") for route in module.router.routes]


def methods(route: SecuredRoute) -> list[str]:
    assert route.methods
    return sorted(route.methods)


def answered(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """Send a request; return its response without its body, which may be an endless stream."""
    with client.stream(method, path) as response:
        return response


@pytest.mark.parametrize("route", routes(), ids=lambda route: f"{methods(route)[0]} {route.path}")
def test_a_route_lets_its_own_scope_in(
    route: SecuredRoute, clients: dict[Scope, httpx.Client], secured: System
) -> None:
    assert isinstance(route, SecuredRoute)
    method = methods(route)[0]
    path = (
        route.path.replace("{key_id}", "A" * 12).replace("{tenant_name}", "nobody").replace("{queue_name}", "default")
    )
    for name in ("job_id", "bulk_action_id", "batch_id", "workflow_id", "schedule_id", "endpoint_id", "delivery_id"):
        path = path.replace(f"{{{name}}}", UNKNOWN)
    assert "{" not in path, "a new parameter needs a value here"
    anonymous = answered(secured.client, method, path)
    if route.is_public:
        assert anonymous.status_code not in (401, 403)
        return
    assert anonymous.status_code == 401
    let_in = {
        scope for scope, client in clients.items() if answered(client, method, path).status_code not in (401, 403)
    }
    assert let_in == (set(Scope) if route.required_scope is None else {route.required_scope})


def test_only_probes_and_pages_are_public(secured: System) -> None:
    public = {route.path.rstrip("/") for route in routes() if route.is_public}
    sign_in = {f"/console/session{path}" for path in ("", "/start", "/callback")}
    # The last: other methods than POST, which get 405.
    assert public == {"/livez", "/readyz", *sign_in, "/jobs/batch"}
    for path in ("/docs", "/docs/glossary", "/openapi.json"):
        assert secured.client.get(path).status_code == 200


def test_the_document_has_the_scope_of_each_operation(secured: System) -> None:
    document = secured.client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"bearer"}
    declared = {
        (path, method): operation.get("security")
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    expected = {
        (route.path, method.lower()): None
        if route.is_public
        else [{"bearer": [] if route.required_scope is None else [route.required_scope]}]
        for route in routes()
        for method in methods(route)
        if route.include_in_schema
    }
    assert declared == expected
