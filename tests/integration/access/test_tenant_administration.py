"""Operators create, change, suspend, drain and remove tenants, and act for them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rig.keys import client_of, new_key
from rig.system import System, until
from rig.tenants import CLIENT_SCOPES, TenantClient

from common.domain.tenancy.scopes import Scope
from common.store.schema.partitions import AUDIT
from common.store.schema.row_security import TABLES

DELAYED = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600}


@pytest.fixture
def acme(secured: System, owner: httpx.Client, request: pytest.FixtureRequest) -> Iterator[TenantClient]:
    """Return a client of a tenant that an operator has created by the API."""
    name = f"acme-{abs(hash(request.node.name)) % 10_000_000}"
    created = owner.post("/tenants", json={"name": name, "weight": 2, "max_waiting_jobs": 100_000})
    assert created.status_code == 201, created.text
    tenant = secured.database.value("SELECT id FROM tenants WHERE name = %s", (name,))
    with client_of(secured, new_key(secured.database, CLIENT_SCOPES, tenant)) as client:
        client.headers["X-Tenant-Of-Test"] = name
        yield TenantClient(tenant, client)


def name_of(tenant: TenantClient) -> str:
    return tenant.client.headers["X-Tenant-Of-Test"]


def refused(tenant: TenantClient, kind: str, method: str = "GET", path: str = "/jobs/", json: Any = None) -> bool:
    response = tenant.client.request(method, path, json=json)
    return response.status_code == 403 and response.json()["type"].endswith(kind)


def test_a_tenant_is_created_read_listed_and_changed(owner: httpx.Client, acme: TenantClient) -> None:
    name = name_of(acme)
    shown = owner.get(f"/tenants/{name}").json()
    assert (shown["name"], shown["state"], shown["weight"], shown["max_waiting_jobs"]) == (name, "ACTIVE", 2, 100_000)
    assert shown["max_running_jobs"] is None
    names, path = [], "/tenants?limit=1"
    while path:
        page = owner.get(path).json()
        names += [tenant["name"] for tenant in page["tenants"]]
        path = page["next"]
    assert names == sorted(names)
    assert {"default", name} <= set(names)
    changed = owner.patch(f"/tenants/{name}", json={"max_waiting_jobs": None, "max_running_jobs": 5}).json()
    assert (changed["weight"], changed["max_waiting_jobs"], changed["max_running_jobs"]) == (2, None, 5)
    assert owner.post("/tenants", json={"name": name}).json()["type"].endswith("tenant-exists")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "Acme"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a", "weight": 0}, "weight"),
        ({"name": "a", "weight": 1_001}, "weight"),
        ({"name": "a", "max_running_jobs": -1}, "max_running_jobs"),
        ({"name": "a", "max_waiting_jobs": 1 << 63}, "max_waiting_jobs"),
        ({"name": "a", "id": 1}, "id"),
        ({"name": "a", "state": "ACTIVE"}, "state"),
    ],
)
def test_a_bad_tenant_is_refused_with_its_field(owner: httpx.Client, body: dict[str, object], field: str) -> None:
    response = owner.post("/tenants", json=body)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)


def test_unknown_tenants_are_not_found(owner: httpx.Client) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/suspend"), ("POST", "/remove")):
        response = owner.request(method, f"/tenants/nobody{path}", json={"weight": 1} if method == "PATCH" else None)
        assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (404, "tenant-not-found")


def test_the_default_tenant_is_neither_suspended_nor_removed(owner: httpx.Client) -> None:
    for verb in ("suspend", "remove"):
        response = owner.post(f"/tenants/default/{verb}")
        assert (response.status_code, response.json()["type"].rpartition(":")[2]) == (409, "default-tenant")


def test_clients_of_a_suspended_tenant_are_refused_until_it_is_resumed(owner: httpx.Client, acme: TenantClient) -> None:
    job_id = acme.submit(delay_seconds=3_600)
    suspended = owner.post(f"/tenants/{name_of(acme)}/suspend").json()
    assert suspended["state"] == "SUSPENDED"
    assert refused(acme, "tenant-suspended"), "the process that has suspended it knows it at once"
    assert refused(acme, "tenant-suspended", "POST", "/jobs/", json=DELAYED)
    across = {"Jobproc-Tenant": name_of(acme)}
    assert owner.get(f"/jobs/{job_id}/status", headers=across).status_code == 200, "operators see its jobs"
    resumed = owner.post(f"/tenants/{name_of(acme)}/resume").json()
    assert resumed["state"] == "ACTIVE"
    assert resumed["changed_at"] > suspended["changed_at"], "the controller leaves the places of its jobs for a while"
    assert acme.client.get(f"/jobs/{job_id}/status").json()["status"] == "SCHEDULED"


def test_another_process_learns_of_a_suspension_within_seconds(secured: System, acme: TenantClient) -> None:
    secured.database.rows("UPDATE tenants SET state = 'SUSPENDED' WHERE id = %s", (acme.tenant,))
    until("it is refused", lambda: refused(acme, "tenant-suspended"), 5)


def test_a_draining_tenant_submits_and_retries_nothing_and_its_jobs_end(
    owner: httpx.Client, acme: TenantClient
) -> None:
    failed = acme.submit("fail_for_good")
    acme.wait(failed)
    waiting = acme.submit(delay_seconds=2)
    retry = acme.client.post("/bulk-actions", json={"action": "retry", "filter": {"status": ["FAILED"]}}).json()
    owner.post(f"/tenants/{name_of(acme)}/drain").raise_for_status()
    kind = "tenant-draining"
    assert refused(acme, kind, "POST", "/jobs/", json=DELAYED)
    assert refused(acme, kind, "POST", "/jobs/batch", json=[DELAYED])
    assert refused(acme, kind, "POST", f"/jobs/{failed}/retry")
    assert refused(acme, kind, "POST", "/bulk-actions", json={"action": "retry", "filter": {"status": ["FAILED"]}})
    assert refused(acme, kind, "POST", f"/bulk-actions/{retry['bulk_action_id']}/start")
    across = {"Jobproc-Tenant": name_of(acme)}
    assert owner.post("/jobs/", json=DELAYED, headers=across).status_code == 403, "not for operators either"
    assert acme.wait(waiting)["status"] == "SUCCESS"


def test_an_operator_acts_for_a_tenant_and_others_do_not(
    owner: httpx.Client, acme: TenantClient, secured: System
) -> None:
    across = {"Jobproc-Tenant": name_of(acme)}
    job_id = owner.post("/jobs/", json=DELAYED, headers=across).json()["job_id"]
    assert acme.client.get(f"/jobs/{job_id}/status").status_code == 200
    assert owner.get(f"/jobs/{job_id}/status").status_code == 404
    assert owner.get(f"/jobs/{job_id}/status", headers=across).status_code == 200
    key = owner.post("/keys", json={"name": "first", "scopes": ["jobs:read"]}, headers=across).json()
    assert key["tenant"] == name_of(acme)
    with client_of(secured, key["key"]) as client:
        assert client.get(f"/jobs/{job_id}/status").status_code == 200
    unknown = owner.get("/jobs/", headers={"Jobproc-Tenant": "nobody"})
    assert (unknown.status_code, unknown.json()["type"].rpartition(":")[2]) == (404, "tenant-not-found")
    for name in ("default", name_of(acme), "nobody"):
        response = acme.client.get("/jobs/", headers={"Jobproc-Tenant": name})
        assert (response.status_code, response.json()["scope"]) == (403, Scope.ADMIN)


def test_a_removal_deletes_all_that_the_tenant_has_and_frees_its_name(  # noqa: PLR0915 - rows in every table
    owner: httpx.Client, acme: TenantClient, secured: System
) -> None:
    """Jobs that wait, run and have ended, with rows in every table; another tenant's jobs stay."""
    name = name_of(acme)
    secured.end("controller")
    secured.controller("remover", JOBPROC_TENANT_REMOVAL_DELAY_SECONDS="1")
    secured.database.rows(
        "INSERT INTO stored_bytes (tenant, hour, bytes) SELECT %s, now(), 1 FROM generate_series(1, 700)",
        (acme.tenant,),
    )
    used = "SELECT waiting, bytes FROM tenant_usage WHERE tenant = %s"
    other = owner.post("/jobs/", json=DELAYED).json()["job_id"]
    options = {
        "tags": ["red"],
        "keep_seconds": 3_600,
        "deadline": (datetime.now(UTC) + timedelta(days=2)).isoformat(),
        "unique": {"key": "k"},
    }
    failed = acme.client.post(
        "/jobs/", json={"operation": "fail_times", "data": [9]} | options, headers={"Idempotency-Key": "k"}
    ).json()["job_id"]
    acme.wait(failed)
    acme.client.post(f"/jobs/{failed}/retry").raise_for_status()
    acme.wait(failed)
    acme.wait(acme.submit("say", data=[1]))
    action = acme.client.post("/bulk-actions", json={"action": "retry", "filter": {"tag": "red"}}).json()
    acme.client.post(f"/bulk-actions/{action['bulk_action_id']}/start", json={"count": 1}).raise_for_status()
    acme.client.post("/jobs/batch", json=[DELAYED] * 1_200).raise_for_status()
    running = acme.submit("sleep", data=[30])
    until("it runs", lambda: acme.client.get(f"/jobs/{running}/status").json()["status"] == "IN_PROGRESS")
    until("its usage is counted", lambda: secured.database.rows(used, (acme.tenant,)))
    assert owner.post(f"/tenants/{name}/remove").json()["state"] == "REMOVING"
    assert acme.client.get("/jobs/").status_code in (401, 403)
    until("its keys are refused", lambda: acme.client.get("/jobs/").status_code == 401, 5)
    response = owner.post(f"/tenants/{name}/resume")
    if response.status_code != 404:  # it may have ended already
        assert response.json()["type"].endswith("tenant-removing")
    until("it has ended", lambda: owner.get(f"/tenants/{name}").status_code == 404, 30)
    for table in {*TABLES, "api_keys", "tenant_usage"} - {AUDIT}:
        assert secured.database.value(f"SELECT count(*) FROM {table} WHERE tenant = %s", (acme.tenant,)) == 0, table
    assert owner.get(f"/jobs/{other}/status").status_code == 200
    assert secured.events("remover", "tenant_removed")[0]["tenant"] == name
    assert secured.database.value(f"SELECT count(*) FROM {AUDIT} WHERE tenant = %s", (acme.tenant,)) > 0
    assert owner.get("/audit", params={"thing": name}).json()["entries"][0]["action"] == "tenant.remove"
    assert owner.post("/tenants", json={"name": name}).status_code == 201
    again = secured.database.value("SELECT id FROM tenants WHERE name = %s", (name,))
    assert again != acme.tenant
