"""The heap that a starting API process freezes."""

import gc
from collections.abc import Iterator

import pytest
from pydantic.fields import FieldInfo

from api.app import YOUNG_OBJECTS, create_app, freeze_startup_heap
from common.settings import Settings


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def test_no_request_builds_routes_that_the_collector_scans() -> None:
    """FastAPI builds a router's routes when it is first asked for one; then they would be scanned for ever."""
    app = create_app(Settings())
    freeze_startup_heap(app)
    request = {"type": "http", "method": "POST", "path": "/jobs/", "root_path": "", "headers": [], "app": app}
    for route in app.router.routes:
        route.matches(request)
    assert not [thing for thing in gc.get_objects() if isinstance(thing, FieldInfo)]


def test_collections_wait_for_many_young_objects() -> None:
    """Requests in progress are no garbage: a collection each few of them is for nothing."""
    freeze_startup_heap(create_app(Settings()))
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
