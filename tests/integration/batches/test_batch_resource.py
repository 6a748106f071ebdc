"""Batches as clients see them: created by a submission or open, counted exactly, closed, cancelled, listed."""

import time
import uuid
from typing import Any

import httpx
import pytest
from rig.system import System, until

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}
FOLLOW_UP = {"data": [2], "operation": "cube_sum", "metadata": {"of": "report"}}
NO_BATCH = "019aa5d4-7b1c-7c3e-9d41-000000000000"


def counts(system: System, batch_id: str) -> dict[str, int]:
    return dict(batch(system, batch_id)["counts"])


def batch(system: System, batch_id: str, **parameters: Any) -> dict[str, Any]:
    response = system.client.get(f"/batches/{batch_id}", params=parameters, timeout=70)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert sum(body["counts"].values()) == body["jobs"]
    assert min(body["counts"].values()) >= 0
    return body


def ended(system: System, batch_id: str) -> dict[str, Any]:
    return dict(until("the batch has ended", lambda: (b := batch(system, batch_id))["status"] == "ENDED" and b))


def create(system: System, **body: Any) -> str:
    response = system.client.post("/batches", json=body)
    assert response.status_code == 201, response.text
    assert response.json()["status"] == "OPEN"
    return str(response.json()["batch_id"])


def add(system: System, batch_id: str, jobs: list[dict[str, Any]], **headers: str) -> list[str]:
    response = system.client.post(f"/batches/{batch_id}/jobs", json=jobs, headers=headers)
    assert response.status_code == 202, response.text
    return list(response.json()["job_ids"])


def close(system: System, batch_id: str) -> dict[str, Any]:
    response = system.client.post(f"/batches/{batch_id}/close")
    assert response.status_code == 200, response.text
    return dict(response.json())


def follow_ups(system: System, batch_id: str) -> list[str]:
    rows = system.database.rows("SELECT id::text FROM jobs WHERE metadata ->> 'batch_id' = %s", (batch_id,))
    return [row[0] for row in rows]


def test_a_submission_of_many_jobs_is_a_batch_and_their_ids_are_one_range(system: System) -> None:
    system.all()
    response = system.client.post("/jobs/batch", json=[GOOD] * 500)
    body = response.json()
    assert response.headers["location"] == f"/batches/{body['batch_id']}"
    first = uuid.UUID(body["batch_id"]).int
    assert [uuid.UUID(job_id).int for job_id in body["job_ids"]] == [first + number for number in range(1, 501)]
    found = ended(system, body["batch_id"])
    assert found["counts"] == {"unfinished": 0, "succeeded": 500, "failed": 0, "cancelled": 0}
    assert found["progress"] == 1.0
    assert found["follow_up"] is None


def test_the_follow_up_of_a_batch_receives_its_id_and_runs_once_when_all_jobs_have_ended(system: System) -> None:
    system.all()
    body = system.client.post("/jobs/batch", json={"jobs": [GOOD] * 50, "follow_up": FOLLOW_UP}).json()
    found = ended(system, body["batch_id"])
    assert follow_ups(system, body["batch_id"]) == [found["follow_up"]["job_id"]]
    job = system.wait(found["follow_up"]["job_id"])
    assert job["status"] == "SUCCESS"
    assert job["result"] == 8.0
    assert job["metadata"] == {"of": "report", "batch_id": body["batch_id"]}
    assert job["created_at"] >= found["ended_at"][:23]


def test_jobs_run_while_a_batch_is_open_and_it_ends_only_after_it_is_closed(system: System) -> None:
    system.all()
    batch_id = create(system, follow_up=FOLLOW_UP)
    first = add(system, batch_id, [GOOD] * 3)
    system.wait_all()
    time.sleep(0.6)  # three ticks
    assert batch(system, batch_id)["status"] == "OPEN"
    second = add(system, batch_id, [GOOD] * 2)
    ids = [uuid.UUID(job_id).int - uuid.UUID(batch_id).int for job_id in (*first, *second)]
    assert ids == [1, 2, 3, 4, 5]
    assert close(system, batch_id)["closed_at"] is not None
    found = ended(system, batch_id)
    assert found["jobs"] == found["counts"]["succeeded"] == 5
    assert len(follow_ups(system, batch_id)) == 1
    refused = system.client.post(f"/batches/{batch_id}/jobs", json=[GOOD])
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:jobproc:problem:batch-closed")
    assert system.database.value("SELECT count(*) FROM jobs") == 6


@pytest.mark.parametrize("follow_up", [None, FOLLOW_UP])
def test_an_empty_batch_ends_with_the_request_that_closes_it(system: System, follow_up: dict[str, Any] | None) -> None:
    system.api().worker()  # no controller
    batch_id = create(system, **({"follow_up": follow_up} if follow_up else {}))
    assert close(system, batch_id)["status"] == "ENDED"
    assert close(system, batch_id)["status"] == "ENDED"
    assert len(follow_ups(system, batch_id)) == (follow_up is not None)
    if follow_up:
        assert system.wait(batch(system, batch_id)["follow_up"]["job_id"])["status"] == "SUCCESS"


def test_a_cancel_closes_a_batch_and_cancels_its_jobs_alone(system: System) -> None:
    system.api().controller()
    other = system.submit("square_sum", 1)
    batch_id = create(system, follow_up=FOLLOW_UP)
    add(system, batch_id, [GOOD] * 1_200)
    for _ in range(2):
        response = system.client.post(f"/batches/{batch_id}/cancel")
        assert response.status_code == 200, response.text
        assert response.json()["cancelled_at"] is not None
    found = ended(system, batch_id)
    assert found["counts"] == {"unfinished": 0, "succeeded": 0, "failed": 0, "cancelled": 1_200}
    assert len(follow_ups(system, batch_id)) == 1
    assert system.status(other) == "PENDING"
    assert system.database.value("SELECT count(*) FROM bulk_actions") == 1
    actions = system.database.rows("SELECT action FROM audit_entries ORDER BY id")
    assert [action for (action,) in actions] == ["batch.cancel"]


def test_a_batch_that_has_ended_stays_so_when_a_job_is_retried_and_its_counts_follow(system: System) -> None:
    system.all()
    body = system.client.post(
        "/jobs/batch", json={"jobs": [GOOD, {"operation": "fail_for_good", "data": [1]}], "follow_up": GOOD}
    ).json()
    before = ended(system, body["batch_id"])
    assert before["counts"] == {"unfinished": 0, "succeeded": 1, "failed": 1, "cancelled": 0}
    system.end("worker")
    assert system.client.post(f"/jobs/{body['job_ids'][1]}/retry").status_code == 202
    retried = batch(system, body["batch_id"])
    assert retried["counts"] == {"unfinished": 1, "succeeded": 1, "failed": 0, "cancelled": 0}
    assert (retried["status"], retried["ended_at"]) == ("ENDED", before["ended_at"])
    system.worker("again")
    until("it has failed again", lambda: counts(system, body["batch_id"])["failed"] == 1)
    until(
        "the counts are stored", lambda: not system.database.value("SELECT count(*) FROM batches WHERE failed IS NULL")
    )
    assert batch(system, body["batch_id"])["counts"] == before["counts"]
    assert len(follow_ups(system, body["batch_id"])) == 1


def test_the_same_idempotency_key_returns_the_same_batch(system: System) -> None:
    system.api()
    key = {"Idempotency-Key": "once"}
    first = system.client.post("/jobs/batch", json=[GOOD] * 2, headers=key)
    again = system.client.post("/jobs/batch", json=[GOOD] * 2, headers=key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert first.headers["location"] == again.headers["location"]
    batch_id = create(system)
    added = add(system, batch_id, [GOOD] * 2, **{"Idempotency-Key": "added"})
    close(system, batch_id)
    repeated = system.client.post(f"/batches/{batch_id}/jobs", json=[GOOD] * 2, headers={"Idempotency-Key": "added"})
    assert (repeated.status_code, repeated.json()["job_ids"]) == (200, added)
    assert batch(system, batch_id)["jobs"] == 2


def test_jobs_that_existed_before_are_not_of_the_batch(system: System) -> None:
    system.api()
    keyed = GOOD | {"unique": {"key": "k", "on_conflict": "return"}}
    existing = system.client.post("/jobs/", json=keyed).json()["job_id"]
    body = system.client.post("/jobs/batch", json=[GOOD, keyed, GOOD]).json()
    first = uuid.UUID(body["batch_id"]).int
    assert body["job_ids"][1] == existing
    assert [uuid.UUID(body["job_ids"][index]).int - first for index in (0, 2)] == [1, 3]
    assert batch(system, body["batch_id"])["counts"]["unfinished"] == 2


def test_a_wait_ends_with_the_batch_or_when_the_time_is_up(system: System) -> None:
    system.all(JOBPROC_WAIT_POLL_SECONDS="0.2")
    batch_id = create(system)
    add(system, batch_id, [GOOD])
    began = time.monotonic()
    assert batch(system, batch_id, wait=0.5)["status"] == "OPEN"
    assert 0.4 < time.monotonic() - began < 5
    close(system, batch_id)
    assert batch(system, batch_id, wait=20)["status"] == "ENDED"


def test_batches_are_listed_newest_first_by_pages_and_filters(system: System) -> None:
    system.api()
    ids = [create(system) for _ in range(5)]
    close(system, ids[1])
    page = system.client.get("/batches", params={"limit": 2}).json()
    seen = [found["batch_id"] for found in page["batches"]]
    while page["next"]:
        page = system.client.get(page["next"]).json()
        seen += [found["batch_id"] for found in page["batches"]]
    assert seen == ids[::-1]
    for status, expected in (("ENDED", [ids[1]]), ("CLOSED", []), ("OPEN", [ids[4], ids[3], ids[2], ids[0]])):
        listed = system.client.get("/batches", params={"status": status}).json()["batches"]
        assert [found["batch_id"] for found in listed] == expected
    assert system.client.get("/batches", params={"created_after": "2100-01-01T00:00:00Z"}).json()["batches"] == []
    listed = system.client.get("/batches", params={"created_before": "2100-01-01T00:00:00Z", "limit": 1}).json()
    assert len(system.client.get(listed["next"]).json()["batches"]) == 1


def test_the_jobs_of_a_batch_are_listed_by_its_id(system: System) -> None:
    system.api()
    system.submit("square_sum", 1)
    body = system.client.post("/jobs/batch", json=[GOOD] * 3).json()
    system.client.post("/jobs/batch", json=[GOOD])
    listed = system.client.get(batch(system, body["batch_id"])["links"]["jobs"]).json()["jobs"]
    assert [job["job_id"] for job in listed] == body["job_ids"][::-1]


def test_an_answer_has_a_tag_that_covers_its_counts(system: System) -> None:
    system.api()
    body = system.client.post("/jobs/batch", json=[GOOD] * 2).json()
    path = f"/batches/{body['batch_id']}"
    tag = system.client.get(path).headers["etag"]
    assert system.client.get(path, headers={"If-None-Match": tag}).status_code == 304
    system.client.post(f"/jobs/{body['job_ids'][0]}/cancel")
    assert system.client.get(path, headers={"If-None-Match": tag}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", "/jobs"), ("POST", "/close"), ("POST", "/cancel")],
)
@pytest.mark.parametrize("batch_id", [NO_BATCH, "ffffffff-ffff-ffff-ffff-ffffffffffff"])
def test_an_unknown_batch_is_not_found(system: System, method: str, path: str, batch_id: str) -> None:
    system.api()
    response = system.client.request(method, f"/batches/{batch_id}{path}", json=[GOOD] if path == "/jobs" else None)
    assert (response.status_code, response.json()["type"]) == (404, "urn:jobproc:problem:batch-not-found")
    assert system.database.value("SELECT count(*) FROM jobs") == 0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"follow_up": {"operation": "square_sum"}}, "follow_up.data"),
        ({"follow_up": GOOD | {"unique": {"key": "k"}}}, "follow_up.unique"),
        ({"follow_up": 7}, "follow_up"),
        ({"more": 1}, "more"),
        ([], ""),
    ],
)
def test_an_invalid_batch_is_refused_and_names_the_field(system: System, body: Any, field: str) -> None:
    system.api()
    response: httpx.Response = system.client.post("/batches", json=body)
    assert response.status_code == 422, response.text
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert system.database.value("SELECT count(*) FROM batches") == 0


def test_a_batch_that_stays_open_is_closed(system: System) -> None:
    system.all(JOBPROC_BATCH_OPEN_SECONDS="1")
    batch_id = create(system, follow_up=GOOD)
    add(system, batch_id, [GOOD])
    assert ended(system, batch_id)["counts"]["succeeded"] == 1
    assert system.events("controller", "batch_closed_late")
