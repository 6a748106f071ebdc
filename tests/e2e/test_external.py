"""jobproc with an external PostgreSQL and Redis: the migration is a hook, and a failing hook stops the upgrade."""

import pytest
from e2e.certificates import create_secret
from e2e.cluster import CHART, KEY_REF, NEXT, READY_S, Namespace

SMALL = ("api.replicas=1", "controller.replicas=1", "worker.drainSeconds=5")


@pytest.fixture(scope="module")
def servers(namespace: Namespace) -> Namespace:
    """Install the subcharts as separate releases."""
    for name, options in {"postgresql": ["--set", "persistence.enabled=false"], "redis": []}.items():
        options += ["--set", f"fullnameOverride=their-{name}", "--wait", "--timeout", f"{READY_S}s"]
        namespace.helm("install", f"their-{name}", str(CHART / "charts" / name), *options)
    return namespace


def password(namespace: Namespace, server: str) -> str:
    return namespace.password(f"their-{server}")


def pod_uids(namespace: Namespace) -> set[str]:
    """Return the ids of all pods but those of the migration."""
    component = "app.kubernetes.io/component"
    return {pod.metadata.uid for pod in namespace.pods() if pod.metadata.labels[component] != "migrate"}


def test_a_release_installs_with_servers_given_as_urls(servers: Namespace) -> None:
    database_url = f"postgresql://jobproc:{password(servers, 'postgresql')}@their-postgresql:5432/jobproc"
    create_secret(servers, "database", {"url": database_url})
    create_secret(servers, "broker", {"url": f"redis://:{password(servers, 'redis')}@their-redis:6379/0"})
    external = (
        "postgresql.enabled=false",
        "redis.enabled=false",
        "externalDatabase.existingSecret=database",
        "externalRedis.existingSecret=broker",
    )
    servers.install(*external, *SMALL)
    assert {
        pod.metadata.name
        for pod in servers.core.list_namespaced_pod(servers.name).items
        if "postgresql" in pod.metadata.name
    } == {"their-postgresql-0"}
    api = servers.api()
    assert api.until_status(api.submit("square_sum", 1, 2, 3), "SUCCESS")["result"] == 14.0


def test_a_failing_migration_leaves_the_running_release_unchanged(servers: Namespace) -> None:
    create_secret(servers, "wrong", {"url": "postgresql://jobproc:wrong@their-postgresql:5432/jobproc"})
    before, key = pod_uids(servers), servers.secret(KEY_REF["name"], "api-key")
    values = "externalDatabase.existingSecret=wrong,migrate.backoffLimit=0,migrate.activeDeadlineSeconds=30"
    with pytest.raises(AssertionError, match="pre-upgrade hooks failed"):
        servers.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", values, "--timeout", "90s")
    assert pod_uids(servers) == before
    assert servers.secret(KEY_REF["name"], "api-key") == key, "the hook is not created again"
    api = servers.api()
    assert api.until_status(api.submit("cube_sum", 2), "SUCCESS")["result"] == 8.0


def test_an_upgrade_runs_the_migration_first_and_loses_no_job(servers: Namespace) -> None:
    tags = f"images.api.tag={NEXT},images.worker.tag={NEXT}"
    values = (
        f"{tags},externalDatabase.existingSecret=database,migrate.backoffLimit=10,migrate.activeDeadlineSeconds=300"
    )
    with servers.load("migrated") as report:
        servers.helm("upgrade", "jobproc", str(CHART), "--reuse-values", "--set", values, "--wait")
    report.shows_no_loss()
    servers.helm("uninstall", "jobproc", "--wait")


def test_a_release_installs_with_servers_given_in_parts(servers: Namespace) -> None:
    """The Secret contains only the password, as with CloudNativePG and cloud providers."""
    parts = [
        f"externalDatabase.{key}={value}"
        for key, value in {"host": "their-postgresql", "user": "jobproc", "database": "jobproc"}.items()
    ]
    keys = ["externalDatabase.keys.url=", "externalRedis.keys.url=", "externalRedis.host=their-redis"]
    secrets = ["externalDatabase.existingSecret=their-postgresql", "externalRedis.existingSecret=their-redis"]
    servers.install(
        "postgresql.enabled=false", "redis.enabled=false", *secrets, *keys, *parts, *SMALL, release="other", tag=NEXT
    )
    api = servers.api("other-jobproc-api")
    assert api.until_status(api.submit("square_sum", 3), "SUCCESS")["result"] == 9.0
