"""Authentication in the chart: on by default, with a first key that is generated once; keys and sign-in by values."""

import json
import re
import shutil
from base64 import b64decode
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]  # PyYAML has no types
from chart.manifests import (
    CHART,
    KUBERNETES,
    ROOT,
    Object,
    Release,
    containers,
    environment,
    from_secret,
    helm,
    refusal,
    render,
)

from common.domain.tenancy.api_keys import ApiKeyToken
from common.settings import Settings, name_of

pytestmark = pytest.mark.needs("helm")
FIRST, WORKERS = "JOBPROC_FIRST_API_KEY", "JOBPROC_API_KEY"
OFF = ("authentication.enabled=false", "authentication.acceptUnauthenticatedNetwork=true")
SECRET = "jobproc-first-api-key"  # noqa: S105 - its name


def with_variable(release: Release, name: str) -> dict[str, Object]:
    """Return the value of a variable by the names of the containers that have it."""
    return {
        container["name"]: environment(container)[name]
        for _, pod in release.pods()
        for container in containers(pod)
        if name in environment(container)
    }


def api(release: Release) -> Object:
    """Return the variables of the API."""
    spec = release.get("Deployment", "jobproc-api")["spec"]["template"]["spec"]
    return environment(spec["containers"][0])


@pytest.mark.parametrize("topology", ["default", "external"])
def test_a_key_is_generated_that_is_kept_and_that_only_the_migration_and_the_test_get(topology: str) -> None:
    release = render(topology)
    secret = release.get("Secret", SECRET)
    assert ApiKeyToken.parse(b64decode(secret["data"]["api-key"]).decode())
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert with_variable(release, FIRST) == {"migrate": from_secret(SECRET, "api-key")}
    assert with_variable(release, WORKERS) == {"first-job": from_secret(SECRET, "api-key")}
    assert api(release)["JOBPROC_AUTHENTICATION"] == "required"


def test_a_key_is_another_one_in_each_release() -> None:
    keys = {
        render(release=name).get("Secret", f"{name}-jobproc-first-api-key")["data"]["api-key"] for name in ("a", "b")
    }
    assert len(keys) == 2


def test_before_an_external_database_the_secret_is_a_hook_that_comes_before_the_migration() -> None:
    release = render("external")
    migration = release.job()["metadata"]["annotations"]
    annotations = release.get("Secret", SECRET)["metadata"]["annotations"]
    assert annotations["helm.sh/hook"] == migration["helm.sh/hook"]
    assert int(annotations["helm.sh/hook-weight"]) < int(migration["helm.sh/hook-weight"])
    assert "helm.sh/hook-delete-policy" not in annotations, "it stays"


def upgraded(topology: str, folder: Path) -> list[Object]:
    """Return the Secret of the first key of an upgrade, whose cluster has one with the key `kept`; or nothing."""
    chart = shutil.copytree(CHART, folder / "jobproc")
    template = chart / "templates" / "first-api-key-secret.yaml"
    text = template.read_text()
    found = 'lookup "v1" "Secret" .Release.Namespace $name'
    assert text.count(found) == 1
    template.write_text(text.replace(found, 'dict "data" (dict "api-key" "a2VwdA==")'))
    values = ["--values", str(chart / "ci" / f"{topology}-values.yaml")]
    rendered = helm("template", "jobproc", str(chart), "--kube-version", KUBERNETES, "--namespace", "jobs", *values)
    assert rendered.returncode == 0, rendered.stderr
    objects = [object_ for object_ in yaml.safe_load_all(rendered.stdout) if object_]
    return [object_ for object_ in objects if object_["metadata"]["name"] == SECRET]


def test_an_upgrade_keeps_the_key(tmp_path: Path) -> None:
    (secret,) = upgraded("default", tmp_path)
    assert secret["data"] == {"api-key": "a2VwdA=="}


def test_an_upgrade_does_not_touch_the_secret_that_is_a_hook(tmp_path: Path) -> None:
    """Helm would delete it, and then create it."""
    assert upgraded("external", tmp_path) == []


def test_existing_secrets_replace_the_generated_one() -> None:
    release = render("oidc")
    assert SECRET not in release.names("Secret")
    assert with_variable(release, FIRST) == {"migrate": from_secret("jobs-api-keys", "first")}
    assert with_variable(release, WORKERS) == {
        "worker": from_secret("jobs-api-keys", "workers"),
        "first-job": from_secret("jobs-api-keys", "first"),
    }


def test_a_pool_may_have_a_key_of_its_own() -> None:
    release = render("default", "worker.pools.mail.queues={mail}", "worker.pools.mail.apiKey.existingSecret=mail-key")
    keys = {
        name: environment(
            release.get("Deployment", f"jobproc-worker-{name}")["spec"]["template"]["spec"]["containers"][0]
        )
        for name in ("default", "mail")
    }
    assert keys["mail"][WORKERS] == from_secret("mail-key", "api-key")
    assert WORKERS not in keys["default"]


def test_without_authentication_there_is_no_key_and_the_api_is_told_twice() -> None:
    release = render("default", *OFF)
    assert SECRET not in release.names("Secret")
    assert with_variable(release, FIRST) == with_variable(release, WORKERS) == {}
    variables = api(release)
    assert (variables["JOBPROC_AUTHENTICATION"], variables["JOBPROC_UNAUTHENTICATED_NETWORK"]) == ("off", "true")


@pytest.mark.parametrize(
    ("sentence", "sets"),
    [
        (
            "leave authentication.enabled=true, or set authentication.acceptUnauthenticatedNetwork=true too",
            OFF[:1],
        ),
        ("No token is checked while authentication is off", (*OFF, "oidc.issuer=https://id", "oidc.audiences={a}")),
        ("Tokens for other services must not be accepted: set oidc.audiences", ("oidc.issuer=https://id",)),
        (
            "A token would have no tenant: set oidc.tenantClaim or oidc.defaultTenant.",
            ("oidc.issuer=https://id", "oidc.audiences={a}", "oidc.tenantClaim="),
        ),
        (
            "Browsers would have no way to the OpenID provider and back: set oidc.issuer and oidc.redirectUrl",
            ("oidc.clientId=console",),
        ),
        ("additional properties 'JOBPROC_AUTHENTICATION' not allowed", ("settings.JOBPROC_AUTHENTICATION=off",)),
        ("additional properties 'JOBPROC_API_KEY' not allowed", ("settings.JOBPROC_API_KEY=x",)),
        ("additional properties 'JOBPROC_FIRST_API_KEY' not allowed", ("settings.JOBPROC_FIRST_API_KEY=x",)),
        ("additional properties 'JOBPROC_OIDC_ISSUER' not allowed", ("settings.JOBPROC_OIDC_ISSUER=x",)),
    ],
)
def test_values_that_would_open_the_api_are_refused_with_a_sentence(sentence: str, sets: tuple[str, ...]) -> None:
    assert sentence in refusal(*sets)


def test_the_values_of_an_openid_provider_are_settings_of_the_api_alone() -> None:
    release = render("oidc")
    variables = {name: value for name, value in api(release).items() if name.startswith("JOBPROC_OIDC_")}
    assert variables == {
        "JOBPROC_OIDC_ISSUER": "https://id.example.org:8443/realms/jobs",
        "JOBPROC_OIDC_AUDIENCES": "jobs,jobs-admin",
        "JOBPROC_OIDC_TENANT_CLAIM": "tenant",
        "JOBPROC_OIDC_TENANT_MAPPING": '{"group-acme":"acme"}',
        "JOBPROC_OIDC_SCOPES_CLAIMS": "scope,realm_access.roles",
        "JOBPROC_OIDC_SCOPES_MAPPING": '{"job-operators":["jobs:read","jobs:cancel","bulk"]}',
        "JOBPROC_OIDC_CLIENT_ID": "jobs-console",
        "JOBPROC_OIDC_CLIENT_SECRET": from_secret("jobs-oidc", "client-secret"),
        "JOBPROC_OIDC_REDIRECT_URL": "https://jobs.example.org/console/session/callback",
        "JOBPROC_OIDC_SIGN_IN_SCOPE": "openid profile",
        "JOBPROC_OIDC_CA_FILE": "/etc/jobproc/oidc/ca.crt",
    }
    pod = {"schema", "api"}  # the containers of the pod of the API
    assert with_variable(release, "JOBPROC_OIDC_CLIENT_SECRET").keys() == pod
    assert json.loads(variables["JOBPROC_OIDC_SCOPES_MAPPING"])
    assert with_variable(release, "JOBPROC_OIDC_ISSUER").keys() == {"api"}
    if "oidc_issuer" in Settings.model_fields:
        assert set(variables) <= {name_of(field) for field in Settings.model_fields}
    mounts = {
        name: [volume["name"] for volume in pod["spec"]["volumes"] if volume["name"] == "oidc-ca"]
        for name, pod in release.pods()
        if pod["spec"].get("volumes")
    }
    assert {name for name, found in mounts.items() if found} == {"jobproc-api"}


def test_browsers_may_sign_in_unless_the_values_say_no() -> None:
    assert "JOBPROC_CONSOLE_SIGN_IN" not in api(render("default"))
    assert api(render("default", "authentication.consoleSignIn=false"))["JOBPROC_CONSOLE_SIGN_IN"] == "false"


def test_every_test_in_a_cluster_runs_with_authentication() -> None:
    files = [*(ROOT / "tests" / "e2e").glob("*.py"), ROOT / "tests" / "faults" / "cluster.py"]
    assert len(files) > 10
    assert [file.name for file in files if "authentication.enabled" in file.read_text()] == []


def test_the_example_of_external_secrets_makes_every_secret_of_its_values() -> None:
    made = {
        secret["spec"]["target"]["name"]: {entry["secretKey"] for entry in secret["spec"]["data"]}
        for secret in yaml.safe_load_all((ROOT / "k8s" / "examples" / "external-secrets.yaml").read_text())
    }
    release = render("external secrets")
    assert release.all("Secret") == []
    needed: dict[str, set[str]] = {}
    for reference in re.findall(r"'secretKeyRef': \{'name': '([\w-]+)', 'key': '([\w-]+)'\}", str(release.objects)):
        needed.setdefault(reference[0], set()).add(reference[1])
    needed["jobs-roles"] |= {"metrics"}
    assert made == needed
