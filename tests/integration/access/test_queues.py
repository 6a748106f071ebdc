"""Queues over HTTP: listed, paused and resumed, by a tenant for its jobs and by operators for all."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import psycopg2
import pytest
from rig.keys import client_of, new_key
from rig.system import System, until
from rig.tenants import new_tenant

from common.domain.tenancy.scopes import Scope

JOB = {"operation": "square_sum", "input": {"data": [1, 2, 3]}}


def problem(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


@pytest.fixture(autouse=True)
def _no_policies(secured: System) -> Iterator[None]:
    yield
    secured.database.rows("DELETE FROM queue_policies")


@pytest.fixture
def other(secured: System) -> Iterator[httpx.Client]:
    """Return a client with every scope but `admin` of another tenant."""
    tenant = new_tenant(secured.database, f"t-{uuid4().hex[:12]}")
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN]
    with client_of(secured, new_key(secured.database, tenant=tenant, scopes=scopes)) as client:
        yield client


def submitted(client: httpx.Client) -> str:
    return str(client.post("/jobs/", json=JOB).raise_for_status().json()["job_id"])


def status(client: httpx.Client, job_id: str) -> str:
    return str(client.get(f"/jobs/{job_id}/status").json()["status"])


def test_a_paused_queue_starts_nothing_until_it_is_resumed(owner: httpx.Client) -> None:
    before = owner.get("/queues/default")
    assert before.headers["ETag"] == 'W/"0"'
    answer = owner.post("/queues/default/pause")
    queue = answer.raise_for_status().json()
    assert (queue["paused"], queue["policy"]["paused"], queue["operators_policy"]) == (True, True, None)
    assert answer.headers["ETag"] not in ('W/"0"', None)
    repeated = owner.post("/queues/default/pause")
    assert repeated.headers["ETag"] == answer.headers["ETag"], "safe to repeat"
    job_id = submitted(owner)
    answer = owner.get(f"/jobs/{job_id}/result?wait=2")
    assert status(owner, job_id) == "PENDING"
    assert owner.get("/queues/default").json()["queued"] == 1
    assert owner.post("/queues/default/resume").json()["paused"] is False
    until("the job ends", lambda: status(owner, job_id) == "SUCCESS")
    actions = [entry["action"] for entry in owner.get("/audit?limit=10").json()["entries"]]
    assert actions[:2] == ["queue.resume", "queue.pause"]
    assert len(actions) >= 2


def test_a_tenant_pauses_its_own_jobs_alone(owner: httpx.Client, other: httpx.Client) -> None:
    other.post("/queues/default/pause").raise_for_status()
    assert owner.get("/queues/default").json()["policy"] is None
    waits, runs = submitted(other), submitted(owner)
    until("the job of the other tenant ends", lambda: status(owner, runs) == "SUCCESS")
    assert status(other, waits) == "PENDING"
    other.post("/queues/default/resume").raise_for_status()
    until("the job ends", lambda: status(other, waits) == "SUCCESS")


def test_operators_pause_a_queue_for_all_tenants(owner: httpx.Client, other: httpx.Client) -> None:
    assert problem(other.post("/queues/default/pause?all_tenants=true")) == (403, "scope-missing")
    owner.post("/queues/default/pause?all_tenants=true").raise_for_status()
    queue = other.get("/queues/default").json()
    assert (queue["paused"], queue["policy"], queue["operators_policy"]["paused"]) == (True, None, True)
    job_id = submitted(other)
    other.post("/queues/default/resume").raise_for_status()
    assert other.get("/queues/default").json()["paused"], "it is not theirs"
    assert status(other, job_id) == "PENDING"
    owner.post("/queues/default/resume?all_tenants=true").raise_for_status()
    until("the job ends", lambda: status(other, job_id) == "SUCCESS")


def test_the_limits_of_a_managed_policy_are_changed_in_its_file_alone(
    owner: httpx.Client, other: httpx.Client, secured: System
) -> None:
    secured.database.rows(
        "INSERT INTO queue_policies (queue, rev, concurrency, managed) VALUES ('default', 1, 4, true)"
    )
    for members in ({"concurrency": 5}, {"concurrency": None, "paused": True}, {"events": True}, {"key_rate": None}):
        assert problem(owner.patch("/queues/default", json=members)) == (409, "queue-managed")
    for verb, paused in (("pause", True), ("resume", False)):
        assert owner.post(f"/queues/default/{verb}").raise_for_status().json()["paused"] is paused
        assert owner.patch("/queues/default", json={"paused": paused}).status_code == 200
    policy = owner.patch("/queues/default", json={"paused": True}).raise_for_status().json()["policy"]
    assert (policy["managed"], policy["concurrency"], policy["paused"]) == (True, 4, True)
    queue = other.patch("/queues/default", json={"concurrency": 5}).raise_for_status().json()
    assert queue["policy"]["managed"] is False, "the policy of another tenant"


def test_queues_are_listed_by_name_in_pages(owner: httpx.Client) -> None:
    queues = owner.get("/queues").json()["queues"]
    names = [queue["name"] for queue in queues]
    assert "default" in names
    assert names == sorted(names)
    path, paged = "/queues?limit=1", list[str]()
    while path:
        page = owner.get(path).json()
        paged += [queue["name"] for queue in page["queues"]]
        path = page["next"]
    assert paged == names


def test_limits_are_changed_with_the_tag_of_their_policy(owner: httpx.Client) -> None:
    limits = {"concurrency": 4, "rate": {"per_second": 50, "burst": 10}}
    answer = owner.patch("/queues/default", json=limits, headers={"If-Match": 'W/"0"'})
    policy = answer.raise_for_status().json()["policy"]
    assert {name: policy[name] for name in limits} == limits
    stale = owner.patch("/queues/default", json={"concurrency": 5}, headers={"If-Match": 'W/"0"'})
    assert problem(stale) == (412, "precondition-failed")
    tag = answer.headers["ETag"]
    answer = owner.patch("/queues/default", json={"rate": None, "paused": True}, headers={"If-Match": tag})
    policy = answer.raise_for_status().json()["policy"]
    assert (policy["concurrency"], policy["rate"], policy["paused"]) == (4, None, True)
    assert owner.get("/queues/default").headers["ETag"] == answer.headers["ETag"] != tag
    answer = owner.patch("/queues/default", json={"paused": False, "concurrency": None})
    assert answer.json()["paused"] is False
    entry = owner.get("/audit?limit=1").json()["entries"][0]
    assert (entry["action"], entry["details"]["changed"]) == ("queue.change", ["concurrency", "paused"])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": 10_001}, "concurrency"),
        ({"rate": {"per_second": 0, "burst": 1}}, "rate.per_second"),
        ({"rate": {"per_second": 5e-324, "burst": 1}}, "rate.per_second"),
        ({"rate": {"per_second": 1}}, "rate.burst"),
        ({"rate": {"per_second": 1, "burst": 0.5}}, "rate.burst"),
        ({"paused": None}, "paused"),
        ({"limit": 1}, "limit"),
    ],
)
def test_a_change_that_is_no_policy_is_refused_with_its_field(owner: httpx.Client, body: object, field: str) -> None:
    answer = owner.patch("/queues/default", json=body)
    assert problem(answer) == (422, "invalid-body")
    assert answer.json()["errors"][0]["field"] == field


def test_a_pause_that_cannot_be_confirmed_is_a_503(owner: httpx.Client, secured: System) -> None:
    with psycopg2.connect(secured.database.url) as claim, claim.cursor() as cursor:
        cursor.execute("UPDATE live SET rev = rev WHERE false")
        answer = owner.post("/queues/default/pause", timeout=30)
        assert problem(answer) == (503, "queue-change-unconfirmed")
        assert answer.headers["Retry-After"] == "1"
    assert owner.get("/queues/default").json()["paused"], "what is left is the confirmation"
    assert owner.post("/queues/default/pause").status_code == 200


def test_an_unknown_queue_is_not_found(owner: httpx.Client) -> None:
    for method, path in (("GET", ""), ("POST", "/pause"), ("POST", "/resume")):
        assert problem(owner.request(method, f"/queues/nowhere{path}")) == (404, "queue-not-found")


def test_explain_names_the_policy_and_its_end(owner: httpx.Client, other: httpx.Client) -> None:
    def reasons(client: httpx.Client, job_id: str) -> list[dict[str, object]]:
        found: list[dict[str, object]] = client.get(f"/jobs/{job_id}/explain").raise_for_status().json()["reasons"]
        return found

    owner.post("/queues/default/pause?all_tenants=true").raise_for_status()
    job_id = submitted(other)
    assert [reason["code"] for reason in reasons(other, job_id)] == ["queue_paused"]
    rate = {"per_second": 0.01, "burst": 1}
    owner.patch("/queues/default?all_tenants=true", json={"paused": False, "rate": rate}).raise_for_status()
    until("the job ends", lambda: status(other, job_id) == "SUCCESS")
    job_id = submitted(other)
    (reason,) = reasons(other, job_id)
    assert reason["code"] == "queue_rate"
    end = datetime.fromisoformat(str(reason["until"]))
    assert timedelta(seconds=60) < end - datetime.now(UTC) <= timedelta(seconds=100)
    other.patch("/queues/default", json={"paused": True}).raise_for_status()
    assert {reason["code"] for reason in reasons(other, job_id)} == {"queue_paused", "queue_rate"}


def test_explain_names_the_key_of_a_parked_job(owner: httpx.Client) -> None:
    owner.patch("/queues/default", json={"key_rate": {"per_second": 0.001, "burst": 1}}).raise_for_status()
    jobs = owner.post("/jobs/batch", json=[JOB | {"concurrency_key": "a"}] * 9).raise_for_status().json()["job_ids"]
    until("one has run", lambda: sum(status(owner, job_id) == "SUCCESS" for job_id in jobs) == 1)
    reasons = [owner.get(f"/jobs/{job_id}/explain").json()["reasons"] for job_id in jobs]
    assert {reason[0]["code"] for reason in reasons} == {"ended", "key_limit", "not_due"}
    assert all(reason[0]["until"] for reason in reasons if reason[0]["code"] == "not_due"), "the time of the next token"
