"""An API whose browsers sign in at the test's OpenID provider, for all tests of a file."""

import os
from collections.abc import Iterator

import httpx
import pytest
from integration.sign_in.support.answers import settings
from rig.browsers import browser_of
from rig.databases import database
from rig.openid_provider import OpenIdProvider
from rig.system import System


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    provider = OpenIdProvider()
    yield provider
    provider.close()


@pytest.fixture(scope="module")
def signed(provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API whose browsers sign in at the test's provider."""
    number = 10 + (int(worker_id.removeprefix("gw")) if worker_id != "master" else 0)
    with database() as url:
        system = System(tmp_path_factory.mktemp("console"), url, f"{os.environ['JOBPROC_TESTS_REDIS']}/{number}")
        try:
            yield system.api(**settings(system, provider))
        finally:
            print("\n".join(system.show_logs()))
            system.close()


@pytest.fixture
def browser(signed: System) -> Iterator[httpx.Client]:
    with browser_of(signed) as browser:
        yield browser
