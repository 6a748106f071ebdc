"""The audit log: each change names who did it, from where and when, and no one can change it afterwards."""

from collections.abc import Callable
from typing import Any

import httpx
import psycopg2
import pytest
from rig.keys import client_of, new_key
from rig.settings import ROLE_PREFIX
from rig.system import SUPERUSER, Database, System
from rig.tenants import new_tenant

SLEEP = {"data": [30], "operation": "sleep"}


@pytest.fixture
def entries(owner: httpx.Client) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that returns all entries about a thing, oldest first."""

    def about(thing: str, **parameters: str) -> list[dict[str, Any]]:
        answer = owner.get("/audit", params={"thing": thing, **parameters})
        assert answer.status_code == 200, answer.text
        return list(reversed(answer.json()["entries"]))

    return about


def later(client: httpx.Client) -> str:
    """Submit a job that is due in an hour; return its id."""
    return str(client.post("/jobs/", json={**SLEEP, "delay_seconds": 3_600}).json()["job_id"])


def test_a_cancel_names_its_caller(owner: httpx.Client, entries: Callable[..., Any], secured: System) -> None:
    job_id = later(owner)
    assert owner.post(f"/jobs/{job_id}/cancel", headers={"X-Request-ID": "case-1"}).status_code == 200
    (entry,) = entries(job_id)
    key_id = owner.headers["Authorization"].split("_")[1]
    assert (entry["action"], entry["subject"], entry["address"]) == ("job.cancel", f"key:{key_id}", "127.0.0.1")
    assert entry["request_id"] == "case-1"
    assert [e["thing"] for e in secured.events("api", "audit") if e["thing"] == job_id] == [job_id]


def test_what_changes_nothing_is_not_recorded(owner: httpx.Client, entries: Callable[..., Any]) -> None:
    job_id = later(owner)
    for _ in range(3):
        owner.post(f"/jobs/{job_id}/cancel")
    assert len(entries(job_id)) == 1
    unknown = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
    assert owner.post(f"/jobs/{unknown}/cancel").status_code == 404
    assert entries(unknown) == []


def test_a_retry_and_a_bulk_action_are_recorded(owner: httpx.Client, entries: Callable[..., Any]) -> None:
    job_id = later(owner)
    owner.post(f"/jobs/{job_id}/cancel")
    assert owner.post(f"/jobs/{job_id}/retry", json={"data": [0]}).status_code == 202
    assert [entry["action"] for entry in entries(job_id)] == ["job.cancel", "job.retry"]
    action = {"action": "cancel", "filter": {"tag": "none-has-it"}}
    bulk_action_id = owner.post("/bulk-actions", json=action).json()["bulk_action_id"]
    assert owner.post(f"/bulk-actions/{bulk_action_id}/start").status_code == 200
    assert [entry["action"] for entry in entries(bulk_action_id)] == ["bulk_action.start"]


def test_keys_are_recorded_without_their_secrets(owner: httpx.Client, entries: Callable[..., Any]) -> None:
    created = owner.post("/keys", json={"name": "n", "scopes": ["jobs:read"]}).json()
    owner.post(f"/keys/{created['id']}/rotate")
    owner.post(f"/keys/{created['id']}/revoke")
    found = entries(created["id"])
    assert [entry["action"] for entry in found] == ["key.create", "key.rotate", "key.revoke"]
    assert found[0]["details"] == {"name": "n", "scopes": ["jobs:read"]}
    assert created["key"].rpartition("_")[2] not in str(found)


def test_pages_have_each_entry_once(owner: httpx.Client) -> None:
    ids = [later(owner) for _ in range(7)]
    for job_id in ids:
        owner.post(f"/jobs/{job_id}/cancel")
    path, found = "/audit?limit=3&action=job.cancel", list[str]()
    while path:
        page = owner.get(path).json()
        found += [entry["thing"] for entry in page["entries"]]
        path = page["next"]
    assert [thing for thing in found if thing in ids] == ids[::-1]
    assert len(found) == len(set(found))


def test_a_tenant_sees_its_own_entries_alone(secured: System, owner: httpx.Client) -> None:
    job_id = later(owner)
    owner.post(f"/jobs/{job_id}/cancel")
    secured.database.rows("INSERT INTO tenants (name) VALUES ('audited') ON CONFLICT DO NOTHING")
    tenant = secured.database.value("SELECT id FROM tenants WHERE name = 'audited'")
    with client_of(secured, new_key(secured.database, tenant=tenant)) as other:
        assert other.get("/audit").json() == {"entries": [], "next": None}


def test_changes_of_a_tenant_are_in_its_log_and_in_that_of_the_operator(secured: System, owner: httpx.Client) -> None:
    """A request that leaves it as it is, or fails, is not recorded."""
    for body in ({"name": "globex", "weight": 2}, {"name": "globex"}):
        owner.post("/tenants", json=body)
    owner.patch("/tenants/globex", json={"max_running_jobs": 3})
    for verb in ("suspend", "suspend", "resume", "drain", "resume"):
        owner.post(f"/tenants/globex/{verb}").raise_for_status()
    actions = ["create", "change", "suspend", "resume", "drain", "resume"]
    subject = f"key:{owner.headers['Authorization'].split('_')[1]}"
    tenant = secured.database.value("SELECT id FROM tenants WHERE name = 'globex'")
    with client_of(secured, new_key(secured.database, tenant=tenant)) as client:
        for reader in (owner, client):
            found = reader.get("/audit", params={"thing": "globex"}).json()["entries"][::-1]
            assert [entry["action"] for entry in found] == [f"tenant.{action}" for action in actions]
            assert {entry["subject"] for entry in found} == {subject}
            assert found[0]["details"] == {"weight": 2, "operator_of": "default"}
            assert found[1]["details"] == {"max_running_jobs": 3, "operator_of": "default"}
        owner.post("/tenants/globex/remove").raise_for_status()
        assert owner.get("/audit", params={"thing": "globex"}).json()["entries"][0]["action"] == "tenant.remove"
    logged = [entry["tenant"] for entry in secured.events("api", "audit") if entry["thing"] == "globex"]
    assert logged == [tenant] * (len(actions) + 1)


def test_what_an_operator_does_for_a_tenant_is_in_the_log_of_that_tenant_alone(
    secured: System, owner: httpx.Client, entries: Callable[..., Any]
) -> None:
    tenant = new_tenant(secured.database, "initech")
    across = {"Jobproc-Tenant": "initech"}
    job_id = owner.post("/jobs/", json={**SLEEP, "delay_seconds": 3_600}, headers=across).json()["job_id"]
    assert owner.post(f"/jobs/{job_id}/cancel", headers=across).status_code == 200
    assert entries(job_id) == []
    with client_of(secured, new_key(secured.database, tenant=tenant)) as client:
        (entry,) = client.get("/audit", params={"thing": job_id}).json()["entries"]
    assert (entry["action"], entry["details"]) == ("job.cancel", {"operator_of": "default"})
    assert entry["subject"] == f"key:{owner.headers['Authorization'].split('_')[1]}"


@pytest.mark.parametrize("part", ["api", "worker", "controller"])
@pytest.mark.parametrize(
    "statement", ["UPDATE audit_entries SET subject = 'x'", "DELETE FROM audit_entries", "TRUNCATE audit_entries"]
)
def test_no_part_can_change_an_entry(secured: System, part: str, statement: str) -> None:
    role = Database(secured.database.url.replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_{part}@"), "jobproc")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        role.rows(statement)
    role.close()


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({"action": "job.eat"}, "action"),
        ({"after": "yesterday"}, "after"),
        ({"cursor": "x"}, "cursor"),
        ({"a": "b"}, "a"),
    ],
)
def test_a_bad_parameter_is_named(owner: httpx.Client, parameters: dict[str, str], field: str) -> None:
    answer = owner.get("/audit", params=parameters)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
