"""A system, and an OpenID provider, that all tests of a file share, for tests that are quick and cause no faults."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from rig.lasting_systems import lasting_system
from rig.system import System

if TYPE_CHECKING:
    from rig.openid_provider import OpenIdProvider

REDIS_NUMBER = 40  # first database number in the session's Redis; single tests use lower ones


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API, a worker of two processes and a controller for all tests of a file."""
    with lasting_system(tmp_path_factory.mktemp("system"), worker_id, REDIS_NUMBER) as system:
        yield system.all(
            JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.05",
            JOBPROC_MAX_RESULT_BYTES="2000",
            JOBPROC_MAX_ERROR_CHARACTERS="300",
        )


@pytest.fixture(scope="module")
def provider() -> Iterator["OpenIdProvider"]:
    """Run an OpenID provider for all tests of a file."""
    from rig.openid_provider import OpenIdProvider  # few tests need it

    provider = OpenIdProvider()
    yield provider
    provider.close()
