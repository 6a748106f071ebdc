"""Sign-in with tokens of an OpenID provider in the cluster: a client with a secret, a person, and wrong tokens."""

from collections.abc import Iterator

import httpx
import pytest
from e2e.cluster import KEY_REF, Api, Namespace, until
from e2e.openid import openid_provider, values
from rig.keys import bearer
from rig.sign_in import person_tokens, robot_token
from rig.tls import Authority

JOB = {"data": [1, 2, 3], "operation": "square_sum"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def provider(namespace: Namespace, authority: Authority) -> Iterator[httpx.Client]:
    with openid_provider(namespace, authority) as client:
        yield client


@pytest.fixture(scope="module")
def installed(namespace: Namespace, authority: Authority, provider: httpx.Client) -> Namespace:
    small = ("api.replicas=1", "controller.replicas=1", "postgresql.persistence.enabled=false")
    namespace.install(*values(namespace, authority, provider), *small)
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
