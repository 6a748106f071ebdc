"""How the pods reach PostgreSQL and Redis, and when the schema is migrated."""

import pytest
from chart.manifests import EXAMPLES, NAMESPACE, TOPOLOGIES, Object, containers, environment, from_secret, render

EXTERNAL = ["external", "external-parts", "production"]
BUNDLED = [topology for topology in [*TOPOLOGIES, *EXAMPLES] if topology not in EXTERNAL]


def api(topology: str, *sets: str) -> Object:
    """Return the variables of the API."""
    spec = render(topology, *sets).one("Deployment", "jobproc-api")["spec"]["template"]["spec"]
    return environment(spec["containers"][0])


def test_the_bundled_servers_are_reached_with_the_passwords_that_were_made_for_them() -> None:
    variables = api("default")
    assert variables["DATABASE_URL"] == "postgresql://jobproc-postgresql:5432/jobproc"
    assert variables["PGUSER"] == "jobproc"
    assert variables["PGPASSWORD"] == from_secret("jobproc-postgresql", "password")
    assert variables["REDIS_URL"] == "redis://:$(REDIS_PASSWORD)@jobproc-redis:6379/0"
    assert variables["REDIS_PASSWORD"] == from_secret("jobproc-redis", "password")
    names = list(variables)
    assert names.index("REDIS_PASSWORD") < names.index("REDIS_URL"), "a variable is expanded only by those before it"
    secrets = [one["data"]["password"] for one in render().all("Secret")]
    assert len(secrets) == len(set(secrets)) == 2
    assert all(len(one) > 40 for one in secrets)


def test_a_password_of_yours_is_used_by_the_server_and_by_the_pods() -> None:
    release = render("locked")
    assert release.all("Secret") == []
    server = environment(release.one("StatefulSet", "jobproc-postgresql")["spec"]["template"]["spec"]["containers"][0])
    assert server["POSTGRES_PASSWORD"] == api("locked")["PGPASSWORD"] == from_secret("jobs-postgresql", "app")
    redis = environment(release.one("StatefulSet", "jobproc-redis")["spec"]["template"]["spec"]["containers"][0])
    assert redis["REDIS_PASSWORD"] == api("locked")["REDIS_PASSWORD"] == from_secret("jobs-redis", "password")


@pytest.mark.parametrize("topology", ["external", "production"])
def test_a_url_comes_whole_from_its_secret(topology: str) -> None:
    variables = api(topology)
    assert variables["DATABASE_URL"] == from_secret("jobs-app", "uri")
    assert variables["REDIS_URL"] == from_secret("jobs-redis", "url")
    assert not {"PGPASSWORD", "PGUSER", "REDIS_PASSWORD"} & set(variables)


def test_parts_come_from_the_values_or_from_the_secret() -> None:
    variables = api("external-parts")
    names = list(variables)
    assert variables["DATABASE_URL"] == "postgresql://$(PGHOST):$(PGPORT)/$(PGDATABASE)"
    assert (variables["PGHOST"], variables["PGPORT"], variables["PGDATABASE"]) == ("jobs.example.org", "6432", "jobs")
    assert variables["PGUSER"] == from_secret("jobs-database", "username")
    assert variables["PGPASSWORD"] == from_secret("jobs-database", "password")
    assert variables["PGSSLMODE"] == "require"
    assert max(names.index(name) for name in ("PGHOST", "PGPORT", "PGDATABASE")) < names.index("DATABASE_URL")
    assert variables["REDIS_URL"] == "rediss://:$(REDIS_PASSWORD)@$(REDIS_HOST):$(REDIS_PORT)/2"
    assert variables["REDIS_HOST"] == from_secret("jobs-redis", "endpoint")
    assert variables["REDIS_PORT"] == "6380"
    assert max(names.index(name) for name in ("REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")) < names.index("REDIS_URL")


@pytest.mark.parametrize("topology", EXTERNAL)
def test_nothing_of_the_bundled_servers_is_left_beside_external_ones(topology: str) -> None:
    release = render(topology)
    assert release.all("StatefulSet") == release.all("Secret") == []


@pytest.mark.parametrize("topology", [*TOPOLOGIES, *EXAMPLES])
def test_every_process_runs_in_production_mode_on_the_same_database(topology: str) -> None:
    release = render(topology)
    pods = [pod for kind in ("Deployment", "Job") for one in release.all(kind) for pod in [one["spec"]["template"]]]
    seen = [environment(container) for pod in pods for container in containers(pod)]
    assert {one["JOBPROC_ENVIRONMENT"] for one in seen} == {"development" if topology.startswith("dev") else "production"}
    assert len({str(one["DATABASE_URL"]) for one in seen}) == 1


def test_settings_reach_every_process_as_they_were_written() -> None:
    for name, pod in render("locked").pods():
        for container in pod["spec"]["containers"]:
            if "DATABASE_URL" in environment(container):
                assert environment(container)["JOBPROC_MAX_BODY_BYTES"] == "2097152", name
                assert environment(container)["JOBPROC_RETENTION_DAYS"] == "30", name


@pytest.mark.parametrize("topology", EXTERNAL)
def test_with_an_external_database_the_migration_is_a_hook_before_the_release(topology: str) -> None:
    release = render(topology)
    job = release.job()
    assert job["metadata"]["name"] == "jobproc-migrate"
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["metadata"]["annotations"]["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
    weight = int(job["metadata"]["annotations"]["helm.sh/hook-weight"])
    needed = [release.one("ServiceAccount", job["spec"]["template"]["spec"]["serviceAccountName"])]
    needed += [one for one in release.all("NetworkPolicy") if one["metadata"]["name"] == "jobproc-migrate"]
    for one in needed:
        assert one["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) < weight, "what it needs is there before it"


def test_the_hook_needs_nothing_of_the_release_even_where_redis_is_bundled() -> None:
    job = render("external", "redis.enabled=true", "externalRedis.existingSecret=").job()
    assert {str(value) for value in environment(job["spec"]["template"]["spec"]["containers"][0]).values() if isinstance(value, dict)} == {
        str(from_secret("jobs-app", "uri"))
    }


@pytest.mark.parametrize("topology", BUNDLED)
def test_with_the_bundled_database_the_migration_is_no_hook(topology: str) -> None:
    release = render(topology)
    assert not any(key.startswith("helm.sh/hook") for key in release.job()["metadata"].get("annotations", {}))
    assert {one["kind"] for one in release.objects if "helm.sh/hook" in one["metadata"].get("annotations", {})} == {"Pod"}, "only the test is a hook"
    assert release.job()["spec"]["backoffLimit"] >= 6, "PostgreSQL may start slowly"


def test_a_job_that_changes_has_another_name_and_one_that_does_not_keeps_it() -> None:
    name = render("default").job()["metadata"]["name"]
    assert render("default", "worker.replicas=2").job()["metadata"]["name"] == name
    for change in ("images.api.tag=2", "migrate.resources.limits.memory=1Gi", "settings.JOBPROC_LOG_LEVEL=debug", "migrate.backoffLimit=3"):
        assert render("default", change).job()["metadata"]["name"] != name, change


def test_a_change_of_the_credentials_rolls_the_pods() -> None:
    def checksum(*sets: str) -> str:
        pod = render("default", *sets).one("Deployment", "jobproc-worker-default")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/credentials"])

    assert checksum() == checksum("worker.replicas=2")
    assert len({checksum(), checksum("postgresql.auth.password=x"), checksum("redis.auth.existingSecret=x")}) == 3

    def redis(*sets: str) -> Object:
        pod: Object = render("default", *sets).one("StatefulSet", "jobproc-redis")["spec"]["template"]["metadata"]["annotations"]
        return pod

    assert redis() != redis("redis.parameters.maxmemory=64mb")


def test_the_test_of_the_release_posts_to_its_api() -> None:
    (pod,) = render().all("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    container = pod["spec"]["containers"][0]
    assert container["args"][1] == "http://jobproc-api:8000"
    compile(container["args"][0], "first_job.py", "exec")
    assert render().one("Service", "jobproc-api")["metadata"]["namespace"] == NAMESPACE
