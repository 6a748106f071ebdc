"""An API that requires authentication, for all tests of a file."""

from collections.abc import Iterator

import httpx
import pytest
from rig.keys import REQUIRED, client_of, new_key
from rig.lasting_systems import lasting_system
from rig.system import System


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API, a worker of two processes and a controller; requests must authenticate."""
    with lasting_system(tmp_path_factory.mktemp("secured"), worker_id, 20) as system:
        yield system.all(**REQUIRED)


@pytest.fixture
def owner(secured: System) -> Iterator[httpx.Client]:
    """Return a client with every scope of the default tenant."""
    with client_of(secured, new_key(secured.database)) as client:
        yield client
