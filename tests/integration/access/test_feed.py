"""The change feed over HTTP: pages, filters, long polls, server-sent events, tenants."""

import json
import threading
import time
from collections.abc import Iterator
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
def _not_followed(secured: System) -> Iterator[None]:
    yield
    secured.database.rows("DELETE FROM queue_policies")
    secured.database.rows("SELECT set_followed_queues()")


@pytest.fixture
def other(secured: System) -> Iterator[httpx.Client]:
    """Return a client with every scope but `admin` of another tenant."""
    tenant = new_tenant(secured.database, f"t-{uuid4().hex[:12]}")
    scopes = [scope for scope in Scope if scope is not Scope.ADMIN]
    with client_of(secured, new_key(secured.database, tenant=tenant, scopes=scopes)) as client:
        yield client


def follow(client: httpx.Client, *, on: bool = True) -> int:
    """Switch the feed of the default queue; return the number behind which the next page begins."""
    client.patch("/queues/default", json={"events": on}).raise_for_status()
    return int(client.get("/events?after=latest").json()["after"])


def submitted(client: httpx.Client, **members: object) -> str:
    return str(client.post("/jobs/", json=JOB | members).raise_for_status().json()["job_id"])


def followed(client: httpx.Client, after: int, job_id: str, query: str = "") -> tuple[list[str], int]:
    """Read the feed until a job has ended; return its states, and the number behind the last page."""
    seen: list[str] = []
    end = time.monotonic() + 20
    while "SUCCESS" not in seen and time.monotonic() < end:
        page = client.get(f"/events?after={after}&wait=5{query}").raise_for_status().json()
        numbers = [event["number"] for event in page["events"]]
        assert numbers == sorted(numbers) and all(number > after for number in numbers)
        seen += [event["status"] for event in page["events"] if event["job_id"] == job_id]
        after = page["after"]
    return seen, after


def test_a_client_follows_a_job_from_its_submission_to_its_end(owner: httpx.Client) -> None:
    after = follow(owner)
    assert owner.get("/queues/default").json()["policy"]["events"] is True
    job_id = submitted(owner, tags=["nightly"])
    seen, last = followed(owner, after, job_id)
    assert seen == ["PENDING", "IN_PROGRESS", "SUCCESS"]
    page = owner.get(f"/events?after={after}&limit=1&tag=nightly").json()
    assert page["events"][0]["tags"] == ["nightly"]
    assert page["next"] == f"/events?after={page['after']}&tag=nightly&limit=1"
    assert owner.get(page["next"]).json()["events"][0]["number"] == page["after"] + 1
    for query in ("queue=other", "operation=other", "tag=other"):
        empty = owner.get(f"/events?after={after}&{query}").json()
        assert (empty["events"], empty["after"]) == ([], last), "the place moves on"
    actions = [entry["action"] for entry in owner.get("/audit?limit=10").json()["entries"]]
    assert "queue.change" in actions


def test_a_long_poll_is_answered_by_the_first_change(owner: httpx.Client) -> None:
    after = follow(owner)
    began_at = time.monotonic()
    assert owner.get(f"/events?after={after}&wait=0.5").json()["events"] == []
    assert 0.4 < time.monotonic() - began_at < 5
    threading.Timer(0.5, lambda: submitted(owner)).start()
    page = owner.get(f"/events?after={after}&wait=20").json()
    assert page["events"] and time.monotonic() - began_at < 10


def test_a_stream_is_resumed_behind_its_last_event(owner: httpx.Client) -> None:
    after = follow(owner)
    first, second = submitted(owner), submitted(owner)
    seen: list[tuple[int, str, str]] = []

    def stream(headers: dict[str, str], until_job: str) -> None:
        with owner.stream("GET", "/events?queue=default", headers=headers, timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    event = json.loads(line[6:])
                    seen.append((event["number"], event["job_id"], event["status"]))
                    if (event["job_id"], event["status"]) == (until_job, "SUCCESS"):
                        return

    stream({"Accept": "text/event-stream", "Last-Event-ID": str(after)}, first)
    if (second, "SUCCESS") not in [event[1:] for event in seen]:
        stream({"Accept": "text/event-stream", "Last-Event-ID": str(seen[-1][0])}, second)
    third = submitted(owner)
    stream({"Accept": "text/event-stream", "Last-Event-ID": str(seen[-1][0])}, third)
    numbers = [number for number, _, _ in seen]
    assert numbers == list(range(after + 1, after + 1 + len(numbers))), "no gap, and none twice"
    for job_id in (first, second, third):
        assert [status for _, job, status in seen if job == job_id] == ["PENDING", "IN_PROGRESS", "SUCCESS"]


def test_a_tenant_sees_its_own_changes_alone(owner: httpx.Client, other: httpx.Client) -> None:
    after, of_other = follow(owner), follow(other)
    mine, theirs = submitted(owner), submitted(other)
    assert followed(owner, after, mine)[0] == followed(other, of_other, theirs)[0]
    jobs = {event["job_id"] for event in other.get("/events").json()["events"]}
    assert jobs == {theirs}
    assert of_other == 0, "each tenant has numbers of its own"


def test_requests_that_are_refused(secured: System, owner: httpx.Client) -> None:
    after = follow(owner)
    answer = owner.get(f"/events?after={after + 1_000}")
    assert problem(answer) == (410, "feed-expired")
    assert answer.json()["newest"] == after
    for query in ("after=-1", "after=x", "limit=0", "wait=61", "wait=x", "unknown=1", "queue="):
        assert problem(owner.get(f"/events?{query}")) == (422, "invalid-parameter"), query
    answer = owner.get("/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "x"})
    assert problem(answer) == (422, "invalid-parameter")
    with client_of(secured, new_key(secured.database, scopes=[Scope.JOBS_WRITE])) as writer:
        assert problem(writer.get("/events")) == (403, "scope-missing")


def test_the_switch_waits_for_writers_and_gives_up(secured: System, owner: httpx.Client) -> None:
    session = psycopg2.connect(secured.database.url)
    with session.cursor() as cursor:
        cursor.execute("LOCK TABLE jobproc.live IN ROW EXCLUSIVE MODE")
    answer = owner.patch("/queues/default", json={"events": True}, timeout=30)
    assert problem(answer) == (503, "feed-not-switched")
    assert owner.get("/queues/default").json()["policy"] is None, "nothing was changed"
    session.close()
    follow(owner)
    until("the queue is followed", lambda: owner.get("/queues/default").json()["policy"]["events"])
