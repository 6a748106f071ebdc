"""Sign-in to a running API with tokens of a conforming OpenID provider: robots, people, rotation, outage."""

import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from joserfc.jwk import KeySet
from rig import sign_in
from rig.issuer import AUDIENCE, DISCOVERY
from rig.keys import REQUIRED, bearer, new_key
from rig.lasting_systems import lasting_system
from rig.openid_provider import OpenIdProvider
from rig.openid_provider import new_key as new_signing_key
from rig.system import System, until

JOB = {"data": [1, 2, 3], "operation": "square_sum"}


@pytest.fixture(scope="module")
def signed(provider: OpenIdProvider, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[System]:
    """Run an API whose OpenID provider is the test's."""
    with lasting_system(tmp_path_factory.mktemp("signed"), worker_id, 10) as system:
        system.database.rows("INSERT INTO tenants (name) VALUES ('acme')")
        yield system.api(
            **REQUIRED,
            JOBPROC_OIDC_ISSUER=provider.url,
            JOBPROC_OIDC_AUDIENCES=AUDIENCE,
            JOBPROC_OIDC_JWKS_CACHE_SECONDS="0.2",
            JOBPROC_OIDC_JWKS_MIN_INTERVAL_SECONDS="0.1",
        ).worker()


def robot_token(provider: OpenIdProvider, scope: str = "jobs:read jobs:write") -> str:
    with httpx.Client(base_url=provider.url) as client:
        return sign_in.robot_token(client, scope)


def person_tokens(provider: OpenIdProvider, scope: str) -> dict[str, str]:
    with httpx.Client(base_url=provider.url) as client:
        return sign_in.person_tokens(client, scope)


def test_a_robot_submits_and_reads(signed: System, provider: OpenIdProvider) -> None:
    headers = bearer(robot_token(provider))
    submitted = signed.client.post("/jobs/", json=JOB, headers=headers)
    assert (submitted.status_code, submitted.text) == (202, submitted.text)
    answer = signed.client.get(f"/jobs/{submitted.json()['job_id']}/status", headers=headers)
    assert answer.status_code == 200
    assert signed.client.get("/keys", headers=headers).json()["type"] == "urn:jobproc:problem:scope-missing"


def test_a_person_creates_a_key_for_the_own_tenant(signed: System, provider: OpenIdProvider) -> None:
    headers = bearer(person_tokens(provider, "openid keys jobs:read admin")["access_token"])
    created = signed.client.post("/keys", json={"name": "mine", "scopes": ["jobs:read"]}, headers=headers)
    assert created.status_code == 201
    row = signed.database.rows("SELECT tenant, created_by FROM api_keys WHERE id = %s", [created.json()["id"]])
    assert row == [(1, "user:ada")]
    more = signed.client.post("/keys", json={"name": "more", "scopes": ["admin"]}, headers=headers)
    assert more.status_code == 422, "the scope admin needs a mapping"


def test_an_id_token_is_no_access_token(signed: System, provider: OpenIdProvider) -> None:
    answer = signed.client.get("/jobs/", headers=bearer(person_tokens(provider, "openid jobs:read")["id_token"]))
    assert (answer.status_code, answer.json()["detail"]) == (401, "The token is for another audience.")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="jobproc", error="invalid_token"'
    assert answer.json()["type"] == "urn:jobproc:problem:unauthenticated"


def test_api_keys_are_served_beside_tokens(signed: System) -> None:
    assert signed.client.get("/jobs/", headers=bearer(new_key(signed.database))).status_code == 200
    answer = signed.client.get("/jobs/", headers=bearer(f"jp_{'A' * 12}_{'B' * 43}"))
    assert (answer.status_code, answer.json()["detail"]) == (401, "The API key is not valid.")


@pytest.mark.parametrize("padding", [8_192, 60_000])
def test_a_token_of_more_than_eight_kilobytes_is_refused(
    signed: System, provider: OpenIdProvider, padding: int
) -> None:
    answer = signed.client.get("/jobs/", headers=bearer(robot_token(provider) + "A" * padding))
    assert answer.status_code == (401 if padding < 60_000 else 431)
    assert "AAAA" not in answer.text


def test_a_suspended_tenant_is_refused_and_served_again(signed: System, provider: OpenIdProvider) -> None:
    headers = bearer(robot_token(provider))

    def status() -> int:
        return signed.client.get("/jobs/", headers=headers).status_code

    assert status() == 200
    signed.database.rows("UPDATE tenants SET state = 'SUSPENDED', changed_at = clock_timestamp() WHERE name = 'acme'")
    try:
        until("the token is refused", lambda: status() == 403, 5)
    finally:
        signed.database.rows("UPDATE tenants SET state = 'ACTIVE', changed_at = clock_timestamp() WHERE name = 'acme'")
    until("the token is accepted", lambda: status() == 200, 5)


def test_keys_rotate_while_requests_flow(signed: System, provider: OpenIdProvider) -> None:
    """A provider publishes a key, signs with it once it is known, and removes the one before it."""
    statuses: list[list[int]] = [[], [], []]  # by client
    ended = threading.Event()

    def flow(answers: list[int]) -> None:
        with httpx.Client(base_url=signed.client.base_url) as client:
            while not ended.is_set():
                answers.append(client.get("/jobs/", headers=bearer(robot_token(provider))).status_code)

    def until_known() -> None:
        """Wait until the API has read the keys as they are, and every client has used up its token."""
        reads, before = provider.key_reads, [len(answers) for answers in statuses]
        until(
            "the API knows the keys",
            lambda: (
                provider.key_reads > reads + 1
                and all(len(answers) > count + 1 for answers, count in zip(statuses, before, strict=True))
            ),
        )

    clients = [threading.Thread(target=flow, args=[answers]) for answers in statuses]
    for client in clients:
        client.start()
    try:
        for number, algorithm in enumerate(("ES256", "RS256", "ES256")):
            old, new = provider.keys.keys[0], new_signing_key(algorithm, f"next-{number}")
            for keys in ([old, new], [new, old]):
                provider.keys = KeySet(keys)
                until_known()
    finally:
        ended.set()
        for client in clients:
            client.join()
    assert {status for answers in statuses for status in answers} == {200}


def test_tokens_of_a_removed_key_are_refused(signed: System, provider: OpenIdProvider) -> None:
    headers = bearer(robot_token(provider))
    assert signed.client.get("/jobs/", headers=headers).status_code == 200
    provider.keys = KeySet([new_signing_key("RS256", "last")])
    until(
        "the token is refused",
        lambda: (
            signed.client.get("/jobs/", headers=bearer(robot_token(provider))).status_code == 200
            and signed.client.get("/jobs/", headers=headers).status_code == 401
        ),
        10,
    )


def test_the_documentation_offers_both_ways_to_sign_in(signed: System, provider: OpenIdProvider) -> None:
    document = signed.client.get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["openId"]
    assert scheme == {"type": "openIdConnect", "openIdConnectUrl": provider.url + DISCOVERY}
    assert document["paths"]["/keys"]["get"]["security"] == [{"bearer": ["keys"]}, {"openId": ["keys"]}]
    policy = signed.client.get("/docs").headers["Content-Security-Policy"]
    assert f"connect-src 'self' {provider.url};" in policy


def test_the_provider_may_be_away(signed: System, tmp_path: Path) -> None:
    own, other = OpenIdProvider(), OpenIdProvider(keys=KeySet([new_signing_key("RS256", "stranger")]))
    token, stranger = robot_token(own), robot_token(other)
    other.close()
    system = System(tmp_path, signed.database.url, signed.env["REDIS_URL"], **REQUIRED)
    system.env |= {
        "JOBPROC_OIDC_ISSUER": own.url, "JOBPROC_OIDC_AUDIENCES": AUDIENCE,
        "JOBPROC_OIDC_JWKS_CACHE_SECONDS": "0.2", "JOBPROC_OIDC_JWKS_MIN_INTERVAL_SECONDS": "0.1",
    }  # fmt: skip

    def status(credential: str) -> int:
        return system.client.get("/jobs/", headers=bearer(credential)).status_code

    try:
        system.api()
        assert status(token) == 200
        own.close()
        until("a further key is asked for", lambda: status(stranger) == 503)
        answer = system.client.get("/jobs/", headers=bearer(stranger))
        assert answer.json()["type"] == "urn:jobproc:problem:issuer-unavailable"
        assert answer.headers["Retry-After"]
        assert status(token) == 200
        assert len(system.events("api", "issuer_unavailable")) == 1
        system.end("api")
        system.api()  # it starts without its provider
        assert (status(token), status(new_key(signed.database))) == (503, 200)
        own = OpenIdProvider(own.port, own.keys)
        until("it knows the keys", lambda: status(token) == 200)
        assert token.split(".")[2] not in system.log("api")
    finally:
        system.close()
        own.close()
