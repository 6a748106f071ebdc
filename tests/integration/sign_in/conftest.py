"""An API whose browsers sign in at the test's OpenID provider, for all tests of a file."""

from collections.abc import Iterator

import httpx
import pytest
from integration.sign_in.support.answers import settings
from rig.browsers import browser_of
from rig.lasting_systems import lasting_system
from rig.openid_provider import OpenIdProvider
from rig.system import System


@pytest.fixture(scope="module")
def signed(provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API whose browsers sign in at the test's provider."""
    with lasting_system(tmp_path_factory.mktemp("console"), worker_id, 10) as system:
        yield system.api(**settings(system, provider))


@pytest.fixture
def browser(signed: System) -> Iterator[httpx.Client]:
    with browser_of(signed) as browser:
        yield browser
