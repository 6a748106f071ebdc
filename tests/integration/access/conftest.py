"""An API that requires authentication, for all tests of a file."""

import os
from collections.abc import Iterator

import httpx
import pytest
from rig.databases import database
from rig.keys import REQUIRED, client_of, new_key
from rig.system import System


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API, a worker of two processes and a controller; requests must authenticate."""
    number = 20 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("secured"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.all(**REQUIRED)
        finally:
            print("\n".join(system.show_logs()))
            system.close()


@pytest.fixture
def owner(secured: System) -> Iterator[httpx.Client]:
    """Return a client with every scope of the default tenant."""
    with client_of(secured, new_key(secured.database)) as client:
        yield client
