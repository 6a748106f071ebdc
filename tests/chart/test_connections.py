"""Connections of the pods to PostgreSQL and Redis, and the time of the migration."""

import pytest
from chart.manifests import EXAMPLES, NAMESPACE, TOPOLOGIES, Object, containers, environment, from_secret, render

pytestmark = pytest.mark.needs("helm")

EXTERNAL = ["external", "external-parts", "external secrets", "production"]
FIRST_KEY = "jobproc-first-api-key"
BUNDLED = [topology for topology in [*TOPOLOGIES, *EXAMPLES] if topology not in EXTERNAL]


def api(topology: str, *sets: str) -> Object:
    """Return the variables of the API."""
    spec = render(topology, *sets).get("Deployment", "jobproc-api")["spec"]["template"]["spec"]
    return environment(spec["containers"][0])


def test_pods_connect_to_the_bundled_servers_with_generated_passwords() -> None:
    variables = api("default")
    assert variables["DATABASE_URL"] == "postgresql://jobproc-postgresql:5432/jobproc"
    assert variables["PGUSER"] == "jobproc_api"
    assert variables["PGPASSWORD"] == from_secret("jobproc-database-roles", "api")
    assert variables["REDIS_URL"] == "redis://api@jobproc-redis:6379/0"
    assert variables["JOBPROC_REDIS_PASSWORD"] == from_secret("jobproc-redis", "api")
    passwords = [password for secret in render().all("Secret") for password in secret["data"].values()]
    assert len(passwords) == len(set(passwords)) == 1 + 4 + 1 + 3 + 1, (
        "of administrators, roles, users, and the first API key"
    )
    assert all(len(password) > 40 for password in passwords)


def test_the_server_and_the_pods_use_the_password_of_an_existing_secret() -> None:
    release = render("locked")
    assert release.all("Secret") == []
    server = environment(release.get("StatefulSet", "jobproc-postgresql")["spec"]["template"]["spec"]["containers"][0])
    migration = environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    assert server["POSTGRES_PASSWORD"] == migration["PGPASSWORD"] == from_secret("jobs-postgresql", "app")
    assert api("locked")["PGPASSWORD"] == migration["JOBPROC_API_DATABASE_PASSWORD"] == from_secret("jobs-roles", "api")
    redis = environment(release.get("StatefulSet", "jobproc-redis")["spec"]["template"]["spec"]["containers"][0])
    assert redis["REDIS_PASSWORD"] == from_secret("jobs-redis", "password")
    assert redis["API_PASSWORD"] == api("locked")["JOBPROC_REDIS_PASSWORD"] == from_secret("jobs-redis", "api")


@pytest.mark.parametrize("topology", ["external", "production"])
def test_a_secret_may_contain_the_whole_url(topology: str) -> None:
    variables = api(topology)
    assert variables["DATABASE_URL"] == from_secret("jobs-app", "uri")
    assert variables["REDIS_URL"] == from_secret("jobs-redis", "url")
    assert not {"PGPASSWORD", "PGUSER", "JOBPROC_REDIS_PASSWORD"} & set(variables)


def test_the_parts_of_a_url_come_from_the_values_or_from_a_secret() -> None:
    variables = api("external-parts")
    names = list(variables)
    assert variables["DATABASE_URL"] == "postgresql://$(PGHOST):$(PGPORT)/$(PGDATABASE)"
    assert (variables["PGHOST"], variables["PGPORT"], variables["PGDATABASE"]) == ("jobs.example.org", "6432", "jobs")
    assert variables["PGUSER"] == "jobproc_api"
    assert variables["PGPASSWORD"] == from_secret("jobs-roles", "api")
    assert variables["PGSSLMODE"] == "require"
    assert variables["PGSSLROOTCERT"] == "/etc/ssl/certs/ca-certificates.crt"
    assert max(names.index(name) for name in ("PGHOST", "PGPORT", "PGDATABASE")) < names.index("DATABASE_URL")
    assert variables["REDIS_URL"] == "rediss://$(REDIS_HOST):$(REDIS_PORT)/2"
    assert variables["REDIS_HOST"] == from_secret("jobs-redis", "endpoint")
    assert variables["REDIS_PORT"] == "6380"
    assert max(names.index(name) for name in ("REDIS_HOST", "REDIS_PORT")) < names.index("REDIS_URL")


def test_secrets_are_files_of_a_volume_if_the_values_say_so() -> None:
    """And no variable of a pod is from a key of a Secret then, but those that are no secrets."""
    release = render("default", "secretFiles=true")
    for name, pod in release.pods():
        part = pod["metadata"]["labels"].get("app.kubernetes.io/component")
        if part not in (*PARTS, "migrate"):
            continue
        files = secret_files(pod)
        for container in containers(pod):
            variables = environment(container)
            assert "PGPASSWORD" not in variables, name
            assert "JOBPROC_REDIS_PASSWORD" not in variables, name
            named = {value for variable, value in variables.items() if variable.endswith("_FILE")} - {HEALTH_FILE}
            assert named, name
            assert named <= set(files), name
            assert {"name": "secrets", "mountPath": FOLDER, "readOnly": True} in container["volumeMounts"]
        if part in PARTS:
            own = environment(pod["spec"]["containers"][0])
            assert files[own["JOBPROC_DATABASE_PASSWORD_FILE"]] == ("jobproc-database-roles", part)
            assert files[own["JOBPROC_REDIS_PASSWORD_FILE"]] == ("jobproc-redis", part)
            assert own["DATABASE_URL"] == "postgresql://jobproc-postgresql:5432/jobproc"
    migration = environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    assert {f"JOBPROC_{part.upper()}_DATABASE_PASSWORD_FILE" for part in PARTS} <= set(migration)


def test_urls_of_a_secret_are_files_too_and_what_is_no_secret_stays_a_variable() -> None:
    (pod,) = (pod for name, pod in render("external", "secretFiles=true").pods() if name == "jobproc-api")
    variables = environment(pod["spec"]["containers"][0])
    assert secret_files(pod)[variables["DATABASE_URL_FILE"]] == ("jobs-app", "uri")
    assert secret_files(pod)[variables["REDIS_URL_FILE"]] == ("jobs-redis", "url")
    assert not {"DATABASE_URL", "REDIS_URL"} & set(variables)
    (pod,) = (pod for name, pod in render("external-parts", "secretFiles=true").pods() if name == "jobproc-api")
    variables = environment(pod["spec"]["containers"][0])
    assert variables["REDIS_HOST"] == from_secret("jobs-redis", "endpoint")
    assert secret_files(pod)[variables["JOBPROC_REDIS_PASSWORD_FILE"]][0] == "jobs-redis"


def secret_files(pod: Object) -> dict[str, tuple[str, str]]:
    """Return the Secret and the key of each file of a pod's volume with secrets."""
    (volume,) = (volume for volume in pod["spec"]["volumes"] if volume["name"] == "secrets")
    return {
        f"{FOLDER}/{item['path']}": (source["secret"]["name"], item["key"])
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    }


FOLDER, HEALTH_FILE = "/run/secrets/jobproc", "/tmp/jobproc-health"
PARTS = ("api", "worker", "controller")


@pytest.mark.parametrize("topology", ["default", "locked", "external-parts", "keda-postgresql"])
def test_each_part_has_its_own_role_and_only_the_migration_has_the_administrators_password(topology: str) -> None:
    release = render(topology)
    prefix, secret = ("jobs", "jobs-roles") if topology == "locked" else ("jobproc", "jobproc-database-roles")
    secret = "jobs-roles" if topology == "external-parts" else secret
    for name, pod in release.pods():
        part = pod["metadata"]["labels"].get("app.kubernetes.io/component")
        for container in containers(pod):
            variables = environment(container)
            if part in PARTS:
                assert variables["PGUSER"] == f"{prefix}_{part}", name
                assert variables["PGPASSWORD"] == from_secret(secret, part), name
                assert not [variable for variable in variables if variable.endswith("_DATABASE_PASSWORD")], name
    migration = environment(release.job()["spec"]["template"]["spec"]["containers"][0])
    assert migration["JOBPROC_DATABASE_ROLES"] == prefix
    for part in (*PARTS, "metrics"):
        assert migration[f"JOBPROC_{part.upper()}_DATABASE_PASSWORD"] == from_secret(secret, part)
    assert migration["PGUSER"] in ("jobproc", from_secret("jobs-database", "username"))


@pytest.mark.parametrize(
    ("topology", "sets"), [("default", ("databaseRoles.enabled=false",)), ("external", ()), ("production", ())]
)
def test_one_role_serves_all_parts_if_there_is_but_one(topology: str, sets: tuple[str, ...]) -> None:
    release = render(topology, *sets)
    keys = ("DATABASE_URL", "PGUSER", "PGPASSWORD")
    seen = {
        str([environment(container).get(key) for key in keys])
        for _, pod in release.pods()
        for container in containers(pod)
        if "DATABASE_URL" in environment(container)
    }
    assert len(seen) == 1
    assert "database-roles" not in str(release.names("Secret"))
    assert "JOBPROC_DATABASE_ROLES" not in environment(release.job()["spec"]["template"]["spec"]["containers"][0])


def test_each_part_is_its_own_user_of_the_bundled_redis() -> None:
    for name, pod in render().pods():
        part = pod["metadata"]["labels"].get("app.kubernetes.io/component")
        if part in PARTS:
            variables = environment(pod["spec"]["containers"][0])
            assert variables["REDIS_URL"] == f"redis://{part}@jobproc-redis:6379/0", name
            assert variables["JOBPROC_REDIS_PASSWORD"] == from_secret("jobproc-redis", part), name


@pytest.mark.parametrize("topology", EXTERNAL)
def test_external_servers_replace_every_object_of_the_bundled_ones(topology: str) -> None:
    release = render(topology)
    assert release.all("StatefulSet") == []
    assert release.names("Secret") <= {FIRST_KEY}


@pytest.mark.parametrize("topology", [*TOPOLOGIES, *EXAMPLES])
def test_every_process_runs_in_production_mode_on_the_same_database(topology: str) -> None:
    release = render(topology)
    pods = [workload["spec"]["template"] for kind in ("Deployment", "Job") for workload in release.all(kind)]
    environments = [environment(container) for pod in pods for container in containers(pod)]
    assert {variables["JOBPROC_ENVIRONMENT"] for variables in environments} == {
        "development" if topology.startswith("dev") else "production"
    }
    assert len({str(variables["DATABASE_URL"]) for variables in environments}) == 1


def test_settings_reach_every_process_unchanged() -> None:
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
    needed = [release.get("ServiceAccount", job["spec"]["template"]["spec"]["serviceAccountName"])]
    needed += [secret for secret in release.all("Secret") if secret["metadata"]["name"] == FIRST_KEY]
    needed += [policy for policy in release.all("NetworkPolicy") if policy["metadata"]["name"] == "jobproc-migrate"]
    for object_ in needed:
        annotations = object_["metadata"]["annotations"]
        assert annotations["helm.sh/hook"] == "pre-install,pre-upgrade"
        assert int(annotations["helm.sh/hook-weight"]) < weight, "the objects that the Job needs are created before it"


def test_the_migration_hook_reads_the_secrets_of_database_and_first_key_only_even_with_the_bundled_redis() -> None:
    job = render("external", "redis.enabled=true", "externalRedis.existingSecret=").job()
    assert {
        str(value)
        for value in environment(job["spec"]["template"]["spec"]["containers"][0]).values()
        if isinstance(value, dict)
    } == {str(from_secret("jobs-app", "uri")), str(from_secret(FIRST_KEY, "api-key"))}


@pytest.mark.parametrize("topology", BUNDLED)
def test_with_the_bundled_database_the_migration_is_no_hook(topology: str) -> None:
    release = render(topology)
    assert not any(key.startswith("helm.sh/hook") for key in release.job()["metadata"].get("annotations", {}))
    hooks = [object_ for object_ in release.objects if "helm.sh/hook" in object_["metadata"].get("annotations", {})]
    assert {hook["kind"] for hook in hooks} <= {"Pod"}, "only the test is a hook"
    assert release.job()["spec"]["backoffLimit"] >= 6, "PostgreSQL may start slowly"


def test_the_migration_job_is_renamed_if_and_only_if_its_spec_changes() -> None:
    name = render("default").job()["metadata"]["name"]
    assert render("default", "worker.replicas=2").job()["metadata"]["name"] == name
    for change in (
        "images.api.tag=2",
        "migrate.resources.limits.memory=1Gi",
        "settings.JOBPROC_LOG_LEVEL=debug",
        "migrate.backoffLimit=3",
    ):
        assert render("default", change).job()["metadata"]["name"] != name, change


def test_a_change_of_the_credentials_restarts_the_pods() -> None:
    def checksum(*sets: str) -> str:
        pod = render("default", *sets).get("Deployment", "jobproc-worker-default")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/credentials"])

    assert checksum() == checksum("worker.replicas=2")
    assert len({checksum(), checksum("postgresql.auth.password=x"), checksum("redis.auth.existingSecret=x")}) == 3

    def redis_annotations(*sets: str) -> Object:
        pod = render("default", *sets).get("StatefulSet", "jobproc-redis")["spec"]["template"]
        annotations: Object = pod["metadata"]["annotations"]
        return annotations

    assert redis_annotations() != redis_annotations("redis.parameters.maxmemory=64mb")


def test_the_helm_test_posts_to_the_api_of_its_release() -> None:
    (pod,) = render().all("Pod")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    container = pod["spec"]["containers"][0]
    assert container["args"][1] == "http://jobproc-api.jobs:8000"
    compile(container["args"][0], "first_job.py", "exec")
    assert render().get("Service", "jobproc-api")["metadata"]["namespace"] == NAMESPACE
