"""Sign-in with tokens of an OpenID provider in the cluster: a client with a secret, a person, and wrong tokens."""

import os
from collections.abc import Iterator

import httpx
import pytest
from e2e.certificates import checking
from e2e.cluster import KEY_REF, TAG, Api, Namespace, until
from rig.issuer import AUDIENCE, DISCOVERY
from rig.keys import bearer
from rig.sign_in import person_tokens, robot_token
from rig.tls import Authority

IMAGE = os.environ.get("JOBPROC_E2E_PROVIDER", "jobproc-openid-provider")
PROVIDER, PORT = "id", 8443
JOB = {"data": [1, 2, 3], "operation": "square_sum"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def provider(namespace: Namespace, authority: Authority) -> Iterator[httpx.Client]:
    """Run the provider, with a certificate of its own authority. Return a client of it."""
    host = f"{PROVIDER}.{namespace.name}.svc"
    certificate = authority.sign(PROVIDER, host)
    command = ["python", "-m", "rig.openid_provider", f"https://{host}:{PORT}"]
    files = [certificate.file, certificate.key]
    namespace.pod(PROVIDER, f"{IMAGE}:{TAG}", [*command, *(f"/files/{file.name}" for file in files)], files)
    namespace.kubectl("label", "pod", PROVIDER, f"app={PROVIDER}")
    namespace.kubectl("expose", "pod", PROVIDER, "--port", str(PORT))
    until("the provider runs", lambda: namespace.ready_pod(PROVIDER), 60)
    port = namespace.forward(f"service/{PROVIDER}", PORT)
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", **checking(authority, host)) as client:
        until("the provider serves", lambda: _serves(client), 60)
        yield client


def _serves(client: httpx.Client) -> bool:
    try:
        return client.get(DISCOVERY).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def installed(namespace: Namespace, authority: Authority, provider: httpx.Client) -> Namespace:
    data = {"metadata": {"name": "id-ca"}, "data": {"ca.crt": authority.file.read_text()}}
    namespace.core.create_namespaced_config_map(namespace.name, data)
    namespace.install(
        f"oidc.issuer={provider.get(DISCOVERY).json()['issuer']}",
        f'oidc.audiences=["{AUDIENCE}"]',
        "oidc.ca.configMap=id-ca",
        "api.replicas=1",
        "controller.replicas=1",
        "postgresql.persistence.enabled=false",
    )
    return namespace


@pytest.fixture(scope="module")
def first(installed: Namespace) -> Api:
    """Return a client with the first key, whose tenant is `default`; it has created the tenant of the robot."""
    api = installed.api()
    api.http.post("/tenants", json={"name": "acme"}).raise_for_status()
    return api


@pytest.fixture(scope="module")
def robot(first: Api, provider: httpx.Client) -> Iterator[Api]:
    """Return a client with a token of the tenant `acme`."""
    api = Api(str(first.http.base_url), robot_token(provider))
    until("the tenant is known", lambda: api.http.get("/jobs/").status_code == 200)
    yield api
    api.close()


def test_a_client_with_a_secret_signs_in_submits_and_reads(robot: Api) -> None:
    job = robot.submit("square_sum", 1, 2, 3)
    assert robot.until_status(job, "SUCCESS")["job_id"] == job
    refused = robot.http.get("/keys")
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:jobproc:problem:scope-missing")


def test_a_person_signs_in_with_a_code_and_sees_the_own_tenant_alone(
    robot: Api, first: Api, provider: httpx.Client
) -> None:
    person = Api(str(first.http.base_url), person_tokens(provider, "openid jobs:read jobs:write")["access_token"])
    own, other = person.submit("cube_sum", 2), robot.submit("cube_sum", 3)
    for reader in (person, first):
        assert reader.until_status(own, "SUCCESS")["job_id"] == own
        assert reader.http.get(f"/jobs/{other}").status_code == 404, "that of another tenant is as an unknown one"
    assert robot.until_status(other, "SUCCESS")
    assert robot.http.get(f"/jobs/{own}").status_code == 404
    assert robot.http.post(f"/jobs/{own}/retry").status_code == 404
    person.close()


def test_wrong_tokens_are_refused(robot: Api, first: Api, provider: httpx.Client) -> None:
    token = robot_token(provider)
    head, claims, signature = token.split(".")
    forged = f"{head}.{claims}.{signature[:-8]}{'A' * 8}"
    stranger = first.http.base_url
    wrong = {
        "a changed signature": forged,
        "no signature": f"{head}.{claims}.",
        "other claims": f"{head}.{claims[:-8]}{'A' * 8}.{signature}",
        "an ID token": person_tokens(provider, "openid jobs:read")["id_token"],
        "a text": "x",
    }
    for name, credential in wrong.items():
        answer = httpx.post(f"{stranger}/jobs/", json=JOB, headers=bearer(credential))
        assert answer.status_code == 401, (name, answer.text)
    assert httpx.post(f"{stranger}/jobs/", json=JOB).status_code == 401
    assert httpx.post(f"{stranger}/jobs/", json=JOB, headers=bearer(token)).status_code == 202


def test_keys_are_accepted_beside_tokens(first: Api, installed: Namespace) -> None:
    assert first.http.get("/jobs/").status_code == 200
    assert installed.secret(KEY_REF["name"], "api-key") not in installed.kubectl("logs", "deployment/jobproc-api")
