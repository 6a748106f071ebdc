"""API keys: who has none, a wrong one or one that has ended is refused before anything else happens."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from rig.fork_server import python_path
from rig.keys import REQUIRED, bearer, client_of, new_key
from rig.system import System, until

JOB = {"data": [1, 2, 3], "operation": "square_sum"}
UNAUTHENTICATED = "urn:jobproc:problem:unauthenticated"
REVOKED_WITHIN_S = 5.0


def refused(answer: httpx.Response) -> bool:
    assert answer.headers["content-type"] == "application/problem+json"
    return (
        answer.status_code == 401
        and answer.json()["type"] == UNAUTHENTICATED
        and answer.headers["WWW-Authenticate"].startswith("Bearer ")
    )


def test_a_key_submits_and_reads(owner: httpx.Client) -> None:
    job_id = owner.post("/jobs/", json=JOB).json()["job_id"]
    answer = owner.get(f"/jobs/{job_id}/result", params={"wait": 10})
    assert (answer.status_code, answer.json()["result"]) == (200, 14.0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"Authorization": "Bearer jp_short_x"},
        {"Authorization": f"Bearer jp_{'A' * 12}_{'B' * 43}"},
        {"Authorization": f"Bearer jp_{'A' * 12}_{'B' * 20_000}"},
        {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
        {"Authorization": "Bearer \xff\xfe"},
        {"X-API-Key": f"jp_{'A' * 12}_{'B' * 43}"},
    ],
    ids=lambda headers: str(headers)[:40],
)
def test_a_request_without_a_valid_key_is_refused(secured: System, headers: Mapping[str, str]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    before = secured.database.value("SELECT count(*) FROM jobs")
    assert refused(secured.client.post("/jobs/", json=JOB, headers=raw))
    assert secured.database.value("SELECT count(*) FROM jobs") == before


def test_two_authorization_headers_are_no_credential(secured: System) -> None:
    token = new_key(secured.database)
    raw = [(b"Authorization", f"Bearer {token}".encode())] * 2
    assert refused(secured.client.get("/jobs/", headers=raw))


def test_a_key_with_another_secret_is_refused(secured: System) -> None:
    token = new_key(secured.database)
    assert secured.client.get("/jobs/", headers=bearer(token)).status_code == 200
    other = token[:-1] + ("a" if token[-1] != "a" else "b")
    assert refused(secured.client.get("/jobs/", headers=bearer(other)))


def test_a_body_is_not_read_before_its_sender_is_known(secured: System) -> None:
    head = b"POST /jobs/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n["
    with socket.create_connection(("127.0.0.1", secured.port), 5) as connection:
        connection.sendall(head)
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 401 ")


def test_an_expired_key_is_refused(secured: System) -> None:
    assert refused(secured.client.get("/jobs/", headers=bearer(new_key(secured.database, expires_at="2026-01-01"))))


def test_the_secret_is_stored_nowhere(owner: httpx.Client, secured: System) -> None:
    key = owner.post("/keys", json={"name": "n", "scopes": ["jobs:read"]}).json()["key"]
    stored = secured.database.value("SELECT string_agg(k::text, '') FROM api_keys k")
    secret = key.rpartition("_")[2]
    assert key.split("_")[1] in stored
    assert secret not in stored
    assert secret not in "".join(secured.log(name) for name in secured.processes)


def test_a_created_key_has_its_scopes_alone(owner: httpx.Client, secured: System) -> None:
    created = owner.post("/keys", json={"name": "reader", "scopes": ["jobs:read"]})
    assert created.status_code == 201
    assert created.headers["Cache-Control"] == "no-store"
    with client_of(secured, created.json()["key"]) as reader:
        assert reader.get("/jobs/").status_code == 200
        answer = reader.post("/jobs/", json=JOB)
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:jobproc:problem:scope-missing")
    assert answer.json()["scope"] == "jobs:write"
    assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]


def test_no_key_gives_more_than_it_has(secured: System) -> None:
    with client_of(secured, new_key(secured.database, ["keys", "jobs:read"])) as client:
        answer = client.post("/keys", json={"name": "more", "scopes": ["jobs:read", "admin"]})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "scopes")
        other = new_key(secured.database).split("_")[1]
        assert client.post(f"/keys/{other}/rotate").status_code == 422


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "", "scopes": ["jobs:read"]}, "name"),
        ({"name": "n", "scopes": []}, "scopes"),
        ({"name": "n", "scopes": ["jobs:all"]}, "scopes.0"),
        ({"name": "n", "scopes": ["jobs:read"], "tenant": 2}, "tenant"),
        ({"name": "n", "scopes": ["jobs:read"], "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"name": "n\u0000", "scopes": ["jobs:read"]}, "name"),
    ],
)
def test_a_bad_field_of_a_new_key_is_named(owner: httpx.Client, body: object, field: str) -> None:
    answer = owner.post("/keys", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_a_revoked_key_is_refused_within_five_seconds_by_another_process(
    owner: httpx.Client, secured: System, tmp_path: Path
) -> None:
    other = System(tmp_path, secured.database.url, secured.env["REDIS_URL"], **REQUIRED)
    other.env["JOBPROC_KEY_REFRESH_SECONDS"] = "2"  # as by default
    try:
        other.api()
        created = owner.post("/keys", json={"name": "short", "scopes": ["jobs:read"]}).json()
        headers = bearer(created["key"])
        assert other.client.get("/jobs/", headers=headers).status_code == 200  # known at once, though created elsewhere
        revoked = owner.post(f"/keys/{created['id']}/revoke")
        assert revoked.json()["revoked_at"] is not None
        assert refused(secured.client.get("/jobs/", headers=headers))
        until(
            "the other process refuses it",
            lambda: other.client.get("/jobs/", headers=headers).status_code == 401,
            REVOKED_WITHIN_S,
            0.1,
        )
    finally:
        other.close()


@pytest.mark.parametrize("minutes", [-10, 10], ids=["behind", "ahead"])
def test_a_key_that_was_revoked_while_the_clock_of_the_database_was_wrong_is_refused(
    secured: System, minutes: int
) -> None:
    headers = bearer(new_key(secured.database))
    assert secured.client.get("/jobs/", headers=headers).status_code == 200
    secured.database.rows(
        """UPDATE api_keys SET revoked_at = clock_timestamp() + %s * interval '1 min',
           changed_in = pg_current_xact_id()::text::bigint WHERE id = %s""",
        (minutes, headers["Authorization"].split("_")[1]),
    )
    until("it is refused", lambda: secured.client.get("/jobs/", headers=headers).status_code == 401, REVOKED_WITHIN_S)


def test_keys_of_a_restored_database_are_known_and_those_that_change_are_read(secured: System) -> None:
    """Their rows are of transactions of another cluster, such as this one will have in a long time."""
    headers = bearer(new_key(secured.database, changed_in=2**40))
    secured.end("api")
    secured.api(**REQUIRED)
    assert secured.client.get("/jobs/", headers=headers).status_code == 200
    secured.database.rows(
        """UPDATE api_keys SET revoked_at = clock_timestamp(), changed_in = pg_current_xact_id()::text::bigint
           WHERE id = %s""",
        (headers["Authorization"].split("_")[1],),
    )
    until("it is refused", lambda: secured.client.get("/jobs/", headers=headers).status_code == 401, REVOKED_WITHIN_S)


def test_a_rotated_key_is_accepted_as_long_as_it_overlaps(owner: httpx.Client, secured: System) -> None:
    old = owner.post("/keys", json={"name": "rolling", "scopes": ["jobs:read"]}).json()
    new = owner.post(f"/keys/{old['id']}/rotate", json={"overlap_seconds": 3_600}).json()
    assert (new["name"], new["scopes"]) == ("rolling", ["jobs:read"])
    for key in (old, new):
        assert secured.client.get("/jobs/", headers=bearer(key["key"])).status_code == 200
    newest = owner.post(f"/keys/{new['id']}/rotate", json={"overlap_seconds": 0}).json()
    assert refused(secured.client.get("/jobs/", headers=bearer(new["key"])))
    assert secured.client.get("/jobs/", headers=bearer(newest["key"])).status_code == 200


def test_all_keys_of_the_tenant_are_listed_in_pages(owner: httpx.Client, secured: System) -> None:
    foreign = new_key(secured.database, tenant=2).split("_")[1]
    own = {new_key(secured.database).split("_")[1] for _ in range(5)}
    path, ids = "/keys?limit=2", list[str]()
    while path:
        page = owner.get(path).json()
        ids += [key["id"] for key in page["keys"]]
        assert all("key" not in key and "digest" not in key for key in page["keys"])
        path = page["next"]
    assert own <= set(ids)
    assert len(ids) == len(set(ids))
    assert foreign not in ids


@pytest.mark.parametrize("action", ["rotate", "revoke"])
def test_the_key_of_another_tenant_is_not_found(owner: httpx.Client, secured: System, action: str) -> None:
    foreign = new_key(secured.database, tenant=2).split("_")[1]
    answers = [owner.post(f"/keys/{key_id}/{action}") for key_id in (foreign, "A" * 12)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()


def test_the_last_use_is_recorded(secured: System) -> None:
    token = new_key(secured.database)
    with client_of(secured, token) as client:
        client.get("/jobs/")
    secured.end("api")
    secured.api(**REQUIRED)
    assert secured.database.value(
        "SELECT last_used_at > now() - interval '1 min' FROM api_keys WHERE id = %s", [token.split("_")[1]]
    )


def test_a_key_is_deleted_long_after_its_end_but_not_the_first_one(secured: System) -> None:
    """The controller deletes them with its role. A first key that was revoked must not come back with a migration."""
    long_ago, now = datetime.now(UTC) - timedelta(days=91), datetime.now(UTC)
    gone = [new_key(secured.database, expires_at=long_ago), new_key(secured.database, revoked_at=long_ago)]
    kept = [
        new_key(secured.database, revoked_at=long_ago, created_by="migration"),
        new_key(secured.database, expires_at=now),
        new_key(secured.database, created_at=long_ago),
    ]

    def stored(tokens: list[str]) -> int:
        ids = [token.split("_")[1] for token in tokens]
        return int(secured.database.value("SELECT count(*) FROM api_keys WHERE id = ANY (%s)", [ids]))

    secured.end("controller")
    secured.controller()  # it looks at its start
    until("they are deleted", lambda: stored(gone) == 0)
    assert stored(kept) == len(kept)


def keys_command(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**system.env, **python_path(), "JOBPROC_LOG_LEVEL": "warning"}
    return subprocess.run(
        [sys.executable, "-m", "api.keys", *arguments],
        env=env, capture_output=True, text=True, check=False, timeout=30, cwd=system.folder,
    )  # fmt: skip


def test_keys_are_managed_from_a_command_line(secured: System) -> None:
    token = keys_command(secured, "create", "--name", "cli", "--scopes", "jobs:read").stdout.strip()
    assert secured.client.get("/jobs/", headers=bearer(token)).status_code == 200
    key_id = token.split("_")[1]
    assert f"{key_id}\tcli\tjobs:read\tvalid" in keys_command(secured, "list").stdout
    successor = keys_command(secured, "rotate", key_id, "--overlap-seconds", "60").stdout.strip()
    assert secured.client.get("/jobs/", headers=bearer(successor)).status_code == 200
    assert "revoked" in keys_command(secured, "revoke", key_id).stdout
    until("it is refused", lambda: secured.client.get("/jobs/", headers=bearer(token)).status_code == 401, 5)
    wrong = keys_command(secured, "create", "--name", "x", "--scopes", "everything")
    assert (wrong.returncode, "the scopes are jobs:read" in wrong.stderr) == (1, True)
    assert keys_command(secured, "revoke", "A" * 12).stderr.startswith("api.keys: No API key")


def test_an_api_without_authentication_listens_on_loopback_alone(secured: System) -> None:
    env = {**secured.env, **python_path(), "JOBPROC_AUTHENTICATION": "off"}
    command = [sys.executable, "-m", "api", "--port", "0", "--host", "0.0.0.0"]  # noqa: S104 - what is refused
    run = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30, cwd=secured.folder)
    assert run.returncode == 1
    assert "JOBPROC_UNAUTHENTICATED_NETWORK" in run.stderr
