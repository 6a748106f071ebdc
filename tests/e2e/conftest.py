"""Namespaces of a real cluster, one for each module of tests."""

import shutil
import uuid
from collections.abc import Iterator

import pytest
from e2e.cluster import Namespace
from kubernetes import client, config

LIMIT_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "e2e" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LIMIT_S))


@pytest.fixture(scope="session")
def cluster() -> None:
    """Check that the cluster answers and that kubectl and helm are installed."""
    for program in ("kubectl", "helm"):
        assert shutil.which(program), f"{program} is not on the PATH"
    config.load_kube_config()  # type: ignore[no-untyped-call]  # untyped in the client
    assert client.VersionApi().get_code(), "the cluster does not answer"


@pytest.fixture(scope="module")
def namespace(cluster: None, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """Create an empty namespace that enforces the level `restricted`. Its state is printed if a test fails."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    namespace = Namespace(f"{module}-{uuid.uuid4().hex[:5]}")
    failed_before = request.session.testsfailed
    yield namespace
    if request.session.testsfailed > failed_before:
        with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            print(namespace.describe())
    namespace.close()


@pytest.fixture(scope="session")
def keda(cluster: None) -> None:
    """Skip the test if the cluster has no KEDA."""
    groups = {group.name for group in client.ApisApi().get_api_versions().groups}
    if "keda.sh" not in groups:
        pytest.skip("there is no KEDA in this cluster")
