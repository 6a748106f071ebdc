"""Every route is a coroutine function, so that no request runs in a thread."""

import inspect
from importlib import import_module
from pkgutil import walk_packages

import pytest
from fastapi.routing import APIRoute

from api import routes

MODULES = [
    import_module(module.name) for module in walk_packages(routes.__path__, f"{routes.__name__}.") if not module.ispkg
]
ROUTERS = [module.router for module in MODULES if hasattr(module, "router")]
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{min(route.methods)} {route.path}")
def test_a_request_stays_in_its_task(route: APIRoute) -> None:
    """The framework runs a plain function, also a dependency of a route, in a thread: a third of the time of a GET."""
    assert inspect.iscoroutinefunction(route.endpoint)
    dependencies = [item.call for item in route.dependant.dependencies]  # codespell:ignore dependant - FastAPI's name
    assert [call for call in dependencies if not inspect.iscoroutinefunction(call)] == []
