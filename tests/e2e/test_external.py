"""jobproc on a PostgreSQL and a Redis that are not its own: the migration is a hook, and a hook that fails stops the release."""

import pytest
from e2e.cluster import CHART, NEXT, READY_S, Namespace

SMALL = ("api.replicas=1", "controller.replicas=1", "worker.drainSeconds=5")


@pytest.fixture(scope="module")
def servers(namespace: Namespace) -> Namespace:
    """The subcharts alone, as releases of somebody else."""
    for name, more in {"postgresql": ["--set", "persistence.enabled=false"], "redis": []}.items():
        namespace.helm(
            "install", f"their-{name}", str(CHART / "charts" / name), "--set", f"fullnameOverride=their-{name}", *more, "--wait", "--timeout", f"{READY_S}s"
        )
    return namespace


def password(namespace: Namespace, server: str) -> str:
    return namespace.password(f"their-{server}")


def secret(namespace: Namespace, name: str, **data: str) -> None:
    namespace.core.create_namespaced_secret(namespace.name, {"metadata": {"name": name}, "stringData": data})


def test_it_installs_on_servers_given_as_urls(servers: Namespace) -> None:
    secret(servers, "database", url=f"postgresql://jobproc:{password(servers, 'postgresql')}@their-postgresql:5432/jobproc")
    secret(servers, "broker", url=f"redis://:{password(servers, 'redis')}@their-redis:6379/0")
    external = ("postgresql.enabled=false", "redis.enabled=false", "externalDatabase.existingSecret=database", "externalRedis.existingSecret=broker")
    servers.install(*external, *SMALL)
    assert {pod.metadata.name for pod in servers.core.list_namespaced_pod(servers.name).items if "postgresql" in pod.metadata.name} == {"their-postgresql-0"}
    api = servers.api()
    assert api.until_status(api.submit("square_sum", 1, 2, 3), "SUCCESS")["result"] == 14.0


def test_a_migration_that_fails_leaves_the_running_release_as_it_is(servers: Namespace) -> None:
    secret(servers, "wrong", url="postgresql://jobproc:wrong@their-postgresql:5432/jobproc")
    before = {pod.metadata.uid for pod in servers.pods() if pod.metadata.labels["app.kubernetes.io/component"] != "migrate"}
    values = "externalDatabase.existingSecret=wrong,migrate.backoffLimit=0,migrate.activeDeadlineSeconds=30"
    with pytest.raises(AssertionError, match="pre-upgrade hooks failed"):
        servers.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", values, "--timeout", "90s")
    after = {pod.metadata.uid for pod in servers.pods() if pod.metadata.labels["app.kubernetes.io/component"] != "migrate"}
    assert before == after
    api = servers.api()
    assert api.until_status(api.submit("cube_sum", 2), "SUCCESS")["result"] == 8.0


def test_an_upgrade_migrates_first(servers: Namespace) -> None:
    tags = f"images.api.tag={NEXT},images.worker.tag={NEXT}"
    values = f"{tags},externalDatabase.existingSecret=database,migrate.backoffLimit=10,migrate.activeDeadlineSeconds=300"
    with servers.load("migrated") as report:
        servers.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", values, "--wait")
    report.shows_no_loss()
    servers.helm("uninstall", "jobproc", "--wait")


def test_it_installs_on_servers_given_in_parts(servers: Namespace) -> None:
    """The Secret with the password alone, as CloudNativePG and clouds have it; every character of it may be anything."""
    parts = [f"externalDatabase.{key}={value}" for key, value in {"host": "their-postgresql", "user": "jobproc", "database": "jobproc"}.items()]
    keys = ["externalDatabase.keys.url=", "externalRedis.keys.url=", "externalRedis.host=their-redis"]
    secrets = ["externalDatabase.existingSecret=their-postgresql", "externalRedis.existingSecret=their-redis"]
    servers.install("postgresql.enabled=false", "redis.enabled=false", *secrets, *keys, *parts, *SMALL, release="other", tag=NEXT)
    api = servers.api("other-jobproc-api")
    assert api.until_status(api.submit("square_sum", 3), "SUCCESS")["result"] == 9.0
