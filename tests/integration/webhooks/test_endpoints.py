"""Endpoints as clients see them: limits, tenants, ETags, scopes, and which URLs they may have."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from rig.keys import client_of, new_key
from rig.system import System, until
from rig.tenants import TenantClient, tenant_client

Create = Callable[..., dict[str, Any]]
URL = "https://hooks.example.com/jobs"
UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"


def problem(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["type"].rpartition(":")[2]


def test_an_endpoint_is_created_read_changed_and_deleted(system: System, create: Create) -> None:
    system.api()
    endpoint = create(URL, description="orders", events=["job.failed", "batch.ended", "job.failed"])
    path = endpoint["links"]["self"]
    read = system.client.get(path)
    assert read.json() == {name: value for name, value in endpoint.items() if name != "secret"}
    assert (read.json()["events"], read.json()["state"]) == (["batch.ended", "job.failed"], "ACTIVE")
    changed = system.client.patch(path, json={"events": None}, headers={"If-Match": read.headers["etag"]})
    assert changed.status_code == 200
    assert (changed.json()["events"], changed.json()["description"]) == (None, "orders")
    for method in ("PATCH", "DELETE"):
        stale = system.client.request(
            method,
            path,
            json={"events": None} if method == "PATCH" else None,
            headers={"If-Match": read.headers["etag"]},
        )
        assert problem(stale) == (412, "precondition-failed")
    assert system.client.delete(path, headers={"If-Match": changed.headers["etag"]}).status_code == 204
    assert problem(system.client.get(path)) == (404, "webhook-endpoint-not-found")


def test_endpoints_are_listed_by_page_and_filter(system: System, create: Create) -> None:
    system.api()
    ids = [create(URL, events=["job.failed"] if number % 2 else None)["id"] for number in range(5)]
    create(URL, disabled=True)
    page = system.client.get("/webhooks/endpoints", params={"limit": 2, "state": "ACTIVE"}).json()
    found = [each["id"] for each in page["endpoints"]]
    while page["next"]:
        page = system.client.get(page["next"]).json()
        found += [each["id"] for each in page["endpoints"]]
    assert found == ids
    subscribed = system.client.get("/webhooks/endpoints", params={"event": "batch.ended"}).json()["endpoints"]
    assert len(subscribed) == 4


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/",
        "https://hooks.example.com:8443/",
        "https://user@hooks.example.com/",
        "https://localhost/",
        "https://2130706433/",
        "https://hooks.example.com./",
        "ftp://hooks.example.com/",
        "https://hooks.example.com/#a",
        "x",
    ],
)
def test_a_url_that_is_not_allowed_is_refused_with_the_reason(system: System, url: str) -> None:
    system.api()
    response = system.client.post("/webhooks/endpoints", json={"url": url})
    assert problem(response) == (422, "invalid-body")
    assert response.json()["errors"][0]["field"] == "url"


def test_members_are_checked(system: System) -> None:
    system.api()
    wrong: list[dict[str, Any]] = [
        {"events": []},
        {"events": ["webhook.test"]},
        {"events": ["nothing"]},
        {"max_attempts": 0},
        {"default": "yes"},
        {"secret": "whsec_mine"},
        {"url": None},
    ]
    for members in wrong:
        response = system.client.post("/webhooks/endpoints", json={"url": URL, **members})
        assert problem(response) == (422, "invalid-body"), members
    endpoint = system.client.post("/webhooks/endpoints", json={"url": URL}).json()
    response = system.client.patch(endpoint["links"]["self"], json={"url": None})
    assert problem(response) == (422, "invalid-body")


def test_there_is_a_limit_and_a_quota_of_endpoints(system: System, create: Create) -> None:
    system.api(JOBPROC_DEFAULT_MAX_WEBHOOKS="2")
    create(URL)
    create(URL)
    too_many = system.client.post("/webhooks/endpoints", json={"url": URL})
    assert problem(too_many) == (409, "too-many-webhook-endpoints")
    system.client.patch("/tenants/default", json={"max_webhooks": 3}).raise_for_status()
    create(URL)
    assert system.client.post("/webhooks/endpoints", json={"url": URL}).status_code == 409


def test_without_a_key_webhooks_are_off(system: System) -> None:
    system.api(JOBPROC_WEBHOOK_ENCRYPTION_KEY="")
    assert problem(system.client.post("/webhooks/endpoints", json={"url": URL})) == (409, "webhooks-off")
    job = {"data": [1], "operation": "square_sum", "webhook": {"endpoint_id": UNKNOWN}}
    response = system.client.post("/jobs/", json=job)
    assert problem(response) == (422, "invalid-body")
    assert system.client.get("/webhooks/endpoints").json() == {"endpoints": [], "next": None}


def test_an_unknown_endpoint_is_refused_with_its_field(system: System) -> None:
    system.api()
    named = {"webhook": {"endpoint_id": UNKNOWN}}
    job = {"data": [1], "operation": "square_sum", **named}
    for path, body, field in (
        ("/jobs/", job, "webhook.endpoint_id"),
        ("/jobs/batch", [job], "0.webhook.endpoint_id"),
        ("/jobs/batch", {"jobs": [{"data": [1], "operation": "square_sum"}], **named}, "webhook.endpoint_id"),
        ("/batches", named, "webhook.endpoint_id"),
        ("/schedules", {"name": "a", "cron": "@daily", "job": job}, "job.webhook.endpoint_id"),
    ):
        response = system.client.post(path, json=body)
        assert response.status_code == 422, (path, response.text)
        assert response.json()["errors"][0]["field"] == field


@pytest.fixture
def other(system: System) -> Iterator[TenantClient]:
    """A client of another tenant, and authentication."""
    system.api(JOBPROC_AUTHENTICATION="required")
    with tenant_client(system, "other") as client:
        yield client


def test_endpoints_of_other_tenants_do_not_exist(system: System, other: TenantClient) -> None:
    with tenant_client(system, "mine") as mine:
        endpoint = mine.client.post("/webhooks/endpoints", json={"url": URL, "default": True}).json()
        delivery = mine.client.post(endpoint["links"]["test"]).json()["job_id"]
        assert len(mine.client.get(endpoint["links"]["deliveries"]).json()["deliveries"]) == 1
        path = endpoint["links"]["self"]
        for method, target, body in (
            ("GET", path, None),
            ("PATCH", path, {"url": "https://evil.example/"}),
            ("DELETE", path, None),
            ("POST", f"{path}/rotate", {}),
            ("POST", f"{path}/test", None),
        ):
            response = other.client.request(method, target, json=body)
            assert problem(response) == (404, "webhook-endpoint-not-found"), (method, target)
        redeliver = other.client.post(f"/webhooks/deliveries/{delivery}/redeliver")
        assert problem(redeliver) == (404, "webhook-delivery-not-found")
        assert other.client.get(endpoint["links"]["deliveries"]).json()["deliveries"] == []
        assert other.client.get("/webhooks/endpoints").json()["endpoints"] == []
        job = {"data": [1], "operation": "square_sum", "webhook": {"endpoint_id": endpoint["id"]}}
        assert other.client.post("/jobs/", json=job).status_code == 422
        job_id = other.submit()
        assert other.client.get(f"/jobs/{job_id}").json()["webhook"] is None


def test_results_are_sent_for_those_alone_who_may_see_them(system: System, other: TenantClient) -> None:
    key = new_key(system.database, ["webhooks"], other.tenant)
    with client_of(system, key) as client:
        wanted = {"url": URL, "include_result": True}
        assert problem(client.post("/webhooks/endpoints", json=wanted)) == (403, "scope-missing")
        endpoint = other.client.post("/webhooks/endpoints", json=wanted).json()
        path = endpoint["links"]["self"]
        moved = client.patch(path, json={"url": "https://evil.example/"})
        assert problem(moved) == (403, "scope-missing")
        assert client.patch(path, json={"description": "a"}).status_code == 200
        assert client.patch(path, json={"include_result": False}).status_code == 200


def test_changes_are_in_the_audit_log_without_secrets(system: System, other: TenantClient) -> None:
    endpoint = other.client.post("/webhooks/endpoints", json={"url": URL}).json()
    path = endpoint["links"]["self"]
    other.client.patch(path, json={"disabled": True}).raise_for_status()
    rotated = other.client.post(f"{path}/rotate").raise_for_status().json()
    other.client.delete(path).raise_for_status()
    entries = other.client.get("/audit", params={"thing": endpoint["id"]}).json()["entries"]
    assert [entry["action"] for entry in entries] == [
        f"webhook.{verb}" for verb in ("delete", "rotate", "change", "create")
    ]
    assert endpoint["secret"] not in str(entries)
    assert rotated["secret"] not in str(entries)


def test_the_removal_of_a_tenant_deletes_its_endpoints(system: System, other: TenantClient) -> None:
    other.client.post("/webhooks/endpoints", json={"url": URL}).raise_for_status()
    system.database.rows(
        "UPDATE tenants SET state = 'REMOVING', changed_at = now() - interval '1 h' WHERE name = 'other'"
    )
    system.controller(JOBPROC_TENANT_REMOVAL_DELAY_SECONDS="1")
    until("it is removed", lambda: not system.database.value("SELECT count(*) FROM tenants WHERE name = 'other'"))
    assert (
        system.database.rows("SELECT * FROM webhook_endpoints")
        == system.database.rows("SELECT * FROM webhook_secrets")
        == []
    )
