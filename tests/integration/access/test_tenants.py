"""Tenants: each sees and changes its own jobs, and nothing tells it that there are others."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rig.scrape import MetricsPage
from rig.system import System, until
from rig.tenants import TenantClient, tenant_client

from common.store.schema.row_security import TABLES
from tools.servers import free_port, wait_for

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
Two = tuple[TenantClient, TenantClient]
#: Every request that takes the id of a job or of a bulk action, with a body.
OF_A_JOB: list[tuple[str, str, Any]] = [
    ("GET", "/jobs/{}", None),
    ("GET", "/jobs/{}/status", None),
    ("GET", "/jobs/{}/result", None),
    ("GET", "/jobs/{}/result?wait=0.3", None),
    ("GET", "/jobs/{}/input", None),
    ("GET", "/jobs/{}/input?run=0", None),
    ("GET", "/jobs/{}/events", None),
    ("GET", "/jobs/{}/logs", None),
    ("GET", "/jobs/{}/logs?follow=true", None),
    ("GET", "/jobs/{}/logs?cursor=0.1.1", None),
    ("GET", "/jobs/{}/explain", None),
    ("POST", "/jobs/{}/cancel", None),
    ("POST", "/jobs/{}/retry", None),
    ("POST", "/jobs/{}/retry", {"data": [1]}),
]
OF_A_BULK_ACTION: list[tuple[str, str, Any]] = [
    ("GET", "/bulk-actions/{}", None),
    ("GET", "/bulk-actions/{}/outcomes", None),
    ("POST", "/bulk-actions/{}/start", None),
    ("POST", "/bulk-actions/{}/stop", None),
    ("POST", "/bulk-actions/{}/undo", None),
]


@pytest.fixture(scope="module")
def two(secured: System) -> Iterator[Two]:
    """Return clients of two tenants."""
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(tenant_client(secured, name)) for name in ("acme", "globex"))
        yield ours, theirs


def in_two_days() -> str:
    return (datetime.now(UTC) + timedelta(days=2)).isoformat()


def answer(client: httpx.Client, method: str, path: str, body: Any) -> tuple[int, bytes, dict[str, str]]:
    """Return status, body and headers of a response, without those that differ between any two requests."""
    response = client.request(method, path, json=body)
    varying = {"date", "x-request-id", "request-id"}
    return response.status_code, response.content, {k: v for k, v in response.headers.items() if k not in varying}


@pytest.fixture(scope="module")
def their_ended(two: Two) -> str:
    job_id = two[1].submit()
    two[1].wait(job_id)
    return job_id


@pytest.fixture(scope="module")
def their_waiting(two: Two) -> str:
    return two[1].submit(delay_seconds=3_600)


@pytest.mark.parametrize(("method", "path", "body"), OF_A_JOB, ids=str)
def test_the_job_of_another_is_answered_as_an_unknown_one(
    two: Two, their_ended: str, their_waiting: str, method: str, path: str, body: Any
) -> None:
    ours = two[0].client
    unknown = answer(ours, method, path.format(UNKNOWN), body)
    assert unknown[0] == 404
    for job_id in (their_ended, their_waiting):
        assert answer(ours, method, path.format(job_id), body) == unknown
    assert two[1].client.get(f"/jobs/{their_ended}/status").json()["status"] == "SUCCESS"
    assert two[1].client.get(f"/jobs/{their_waiting}/status").json()["status"] == "SCHEDULED"


@pytest.mark.parametrize(("method", "path", "body"), OF_A_BULK_ACTION, ids=str)
def test_the_bulk_action_of_another_is_answered_as_an_unknown_one(two: Two, method: str, path: str, body: Any) -> None:
    ours, theirs = (tenant.client for tenant in two)
    preview = theirs.post("/bulk-actions", json={"action": "cancel", "filter": {"tag": "theirs"}}).json()
    unknown = answer(ours, method, path.format(UNKNOWN), body)
    assert unknown[0] == 404
    assert answer(ours, method, path.format(preview["bulk_action_id"]), body) == unknown
    assert theirs.get(f"/bulk-actions/{preview['bulk_action_id']}").json()["phase"] == "PREVIEW"
    assert preview["bulk_action_id"] not in ours.get("/bulk-actions").text
    assert preview["bulk_action_id"] in theirs.get("/bulk-actions").text


def test_every_path_with_an_id_is_tried_here(two: Two) -> None:
    tried = {path.split("?")[0] for _, path, _ in OF_A_JOB + OF_A_BULK_ACTION}
    document = two[0].client.get("/openapi.json").json()
    with_id = {
        path.replace("{job_id}", "{}").replace("{bulk_action_id}", "{}")
        for path in document["paths"]
        if "{job_id}" in path or "{bulk_action_id}" in path
    }
    assert tried == with_id


@pytest.mark.parametrize(
    "query", ["", "?status=SCHEDULED", "?status=FAILED&sort=-finished", "?status=CANCELLED", "?tag=shared"]
)
def test_lists_have_the_jobs_of_the_caller_alone(two: Two, query: str) -> None:
    owners = {}
    for tenant in two:
        for _ in range(3):
            waiting = tenant.submit(delay_seconds=3_600, tags=["shared"])
            cancelled = tenant.submit(delay_seconds=3_600, tags=["shared"])
            tenant.client.post(f"/jobs/{cancelled}/cancel").raise_for_status()
            failed = tenant.submit("fail_for_good", tags=["shared"])
            tenant.wait(failed)
            owners.update(dict.fromkeys((waiting, cancelled, failed), tenant.tenant))
    seen = {}
    for tenant in two:
        path = f"/jobs/{query}{'&' if query else '?'}limit=2"
        while path:
            page = tenant.client.get(path).raise_for_status().json()
            seen.update({job["job_id"]: tenant.tenant for job in page["jobs"] if job["job_id"] in owners})
            assert all(owners.get(job["job_id"], tenant.tenant) == tenant.tenant for job in page["jobs"])
            path = page["next"]
    assert len(seen) >= 6


def test_a_cursor_of_another_is_refused(two: Two) -> None:
    ours, theirs = two
    for tenant in two:
        for _ in range(2):
            tenant.submit(delay_seconds=3_600)
            tenant.client.post("/bulk-actions", json={"action": "cancel", "filter": {"tag": "none"}}).raise_for_status()
    for path in ("/jobs/?limit=1", "/bulk-actions?limit=1"):
        cursor = theirs.client.get(path).json()["next"]
        assert theirs.client.get(cursor).status_code == 200
        assert ours.client.get(cursor).status_code == 422


def test_keys_of_two_tenants_do_not_meet(two: Two) -> None:
    """An idempotency key, a unique key, and one that is held while the job runs."""
    ours, theirs = two
    same = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600}
    for headers, options in (
        ({"Idempotency-Key": "one"}, {}),
        ({}, {"unique": {"key": "one"}}),
        ({}, {"unique": {"key": "one", "while": "both"}}),
    ):
        answers = [t.client.post("/jobs/", json=same | options, headers=headers) for t in (ours, theirs, ours)]
        assert [response.status_code for response in answers[:2]] == [202, 202]
        assert answers[2].status_code in (200, 409)
        assert theirs.client.get(f"/jobs/{answers[0].json()['job_id']}").status_code == 404
        if answers[2].status_code == 409:
            assert answers[2].json()["job_id"] == answers[0].json()["job_id"]
            for tenant, answered in zip((ours, theirs), answers, strict=False):
                tenant.client.post(f"/jobs/{answered.json()['job_id']}/cancel").raise_for_status()


def test_jobs_of_two_tenants_with_the_same_running_key_run_at_the_same_time(two: Two, secured: System) -> None:
    unique = {"key": "nightly", "while": "running"}
    jobs = [(t, t.client.post("/jobs/", json={"operation": "sleep", "data": [3], "unique": unique})) for t in two]
    ids = [(tenant, response.json()["job_id"]) for tenant, response in jobs]
    until(
        "both run",
        lambda: all(t.client.get(f"/jobs/{job_id}/status").json()["status"] == "IN_PROGRESS" for t, job_id in ids),
    )
    third = two[0].submit(unique=unique)
    reason = two[0].client.get(f"/jobs/{third}/explain").json()["reasons"][0]["text"]
    assert ids[1][1] not in reason
    for tenant, job_id in (*ids, (two[0], third)):
        assert tenant.wait(job_id)["status"] == "SUCCESS"
    assert secured.database.value("SELECT count(*) FROM live WHERE running_key = 'nightly'") == 0


def test_a_group_commit_stores_jobs_of_both(two: Two, secured: System) -> None:
    """Concurrent submissions share commits; each job is its caller's."""
    before = secured.database.value("SELECT count(*) FROM jobs")
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda number: (two[number % 2], two[number % 2].submit()), range(200)))
    assert secured.database.value("SELECT count(*) FROM jobs") == before + 200
    for tenant, job_id in ids:
        found = secured.database.value("SELECT tenant FROM jobs WHERE id = %s", (job_id,))
        assert found == tenant.tenant
        assert tenant.wait(job_id)["status"] == "SUCCESS"


def test_clients_of_two_tenants_that_wait_for_one_id_get_different_answers(two: Two) -> None:
    ours, theirs = two
    job_id = theirs.submit("sleep", data=[1])
    with ThreadPoolExecutor(2) as pool:
        waits = [pool.submit(t.client.get, f"/jobs/{job_id}/result?wait=20") for t in (theirs, ours)]
    assert waits[0].result().json()["status"] == "SUCCESS"
    assert waits[1].result().status_code == 404


def test_statistics_and_explanations_count_the_jobs_of_the_caller_alone(two: Two, secured: System) -> None:
    theirs = two[1]
    job_ids = [theirs.submit() for _ in range(20)]
    for job_id in job_ids:
        theirs.wait(job_id)

    def of_default(tenant: TenantClient) -> dict[str, Any]:
        queues = tenant.client.get("/stats").raise_for_status().json()["queues"]
        return next(dict(queue) for queue in queues if queue["queue"] == "default")

    until("their statistics", lambda: of_default(theirs)["succeeded_per_second"]["last_15_minutes"] > 0)
    with tenant_client(secured, "newcomer") as newcomer:
        stats = of_default(newcomer)
        assert stats["queued"] == stats["running"] == stats["accepted_per_second"] == 0
        assert set(stats["succeeded_per_second"].values()) == {0}
        operations = newcomer.client.get("/operations").json()["operations"]
        assert all(operation["recent"] is None for operation in operations)
        assert newcomer.client.get("/jobs/").json() == {
            "jobs": [],
            "next": None,
            "scanned": 0,
            "estimated_total": 0,
        }
    recent = {
        operation["name"]: operation["recent"] for operation in theirs.client.get("/operations").json()["operations"]
    }
    assert recent["square_sum"]["jobs"] >= 20


def test_a_bulk_action_changes_the_jobs_of_its_tenant_alone(two: Two) -> None:
    ours, theirs = two
    jobs = {tenant: [tenant.submit(delay_seconds=3_600, tags=["bulk"]) for _ in range(3)] for tenant in two}
    action = ours.client.post("/bulk-actions", json={"action": "cancel", "filter": {"tag": "bulk"}}).json()
    assert action["count"] == 3
    path = f"/bulk-actions/{action['bulk_action_id']}"
    ours.client.post(f"{path}/start", json={"count": 3}).raise_for_status()
    until("it is done", lambda: ours.client.get(path).json()["phase"] == "DONE")
    statuses = {t: {t.client.get(f"/jobs/{job_id}/status").json()["status"] for job_id in jobs[t]} for t in two}
    assert statuses == {ours: {"CANCELLED"}, theirs: {"SCHEDULED"}}
    ours.client.post(f"{path}/undo").raise_for_status()
    until("it is undone", lambda: ours.client.get(path).json()["phase"] == "UNDONE")
    assert {ours.client.get(f"/jobs/{job_id}/status").json()["status"] for job_id in jobs[ours]} == {"SCHEDULED"}


def test_all_rows_about_a_job_are_those_of_its_tenant(two: Two, secured: System) -> None:
    """A job that leaves rows in every table: options, a failed attempt, log lines, a retry, a bulk action."""
    ours = two[0]
    options = {
        "tags": ["full"],
        "keep_seconds": 3_600,
        "deadline": in_two_days(),
        "unique": {"key": "full"},
    }
    body = {"operation": "fail_times", "data": [9], "max_attempts": 2}
    headers = {"Idempotency-Key": "full"}
    job_id = ours.client.post("/jobs/", json=body | options, headers=headers).raise_for_status().json()["job_id"]
    ours.wait(job_id)
    ours.client.post(f"/jobs/{job_id}/retry", json={"data": [9]}).raise_for_status()
    ours.wait(job_id)
    noisy = ours.submit("say", data=[1])
    action = ours.client.post("/bulk-actions", json={"action": "retry", "filter": {"tag": "full"}}).json()
    path = f"/bulk-actions/{action['bulk_action_id']}"
    ours.client.post(f"{path}/start", json={"count": 1}).raise_for_status()
    until("it is done", lambda: ours.client.get(path).json()["phase"] == "DONE")
    ours.wait(job_id)
    assert ours.wait(noisy)["status"] == "SUCCESS"
    for table in ("jobs", "outcomes", "attempts", "tags", "runs", "deadlines", "expiries", "bulk_action_jobs"):
        tenants = secured.database.rows(f"SELECT DISTINCT tenant FROM {table} WHERE id = %s", (job_id,))
        assert tenants == [(ours.tenant,)], table
    for table in TABLES:
        assert not secured.database.rows(f"SELECT 1 FROM {table} WHERE tenant = 1"), table


def test_metrics_have_no_names_of_tenants(two: Two, secured: System) -> None:
    page, port = MetricsPage(), free_port()
    process = secured.spawn("metered", "api", "--port", str(port), JOBPROC_METRICS_PORT=page.port)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=two[0].client.headers) as client:

        def submits() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return client.post("/jobs/", json={"operation": "square_sum", "data": [1]}).status_code == 202
            return False

        wait_for("the API", submits, process, 20)
    text = page.text()
    assert "jobproc_" in text
    assert "acme" not in text
    assert "tenant=" not in text, "no label"
