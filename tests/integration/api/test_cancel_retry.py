"""Cancel and retry over HTTP: exact answers, idempotence, what is refused and how."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from rig.system import System

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JSON = {"Content-Type": "application/json"}


def cancelled(system: System, operation: str = "square_sum", *data: float) -> str:
    """Return a job that was cancelled; there is no worker here."""
    job_id = system.submit(operation, *(data or (1, 2)))
    assert system.client.post(f"/jobs/{job_id}/cancel").status_code == 200
    return job_id


def retry(system: System, job_id: str, **body: Any) -> httpx.Response:
    return system.client.post(f"/jobs/{job_id}/retry", **body)


@pytest.mark.parametrize("end", ["", "/"])
def test_a_job_that_waits_is_cancelled_and_again_as_often_as_one_likes(shared_system: System, end: str) -> None:
    job_id = shared_system.submit("square_sum", 1)
    for _ in range(3):
        answer = shared_system.client.post(f"/jobs/{job_id}/cancel{end}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == {"job_id": job_id, "status": "CANCELLED", "cancel_requested": False}
    job = shared_system.job(job_id)
    assert (job["status"], job["attempt"], job["epoch"], job["result"], job["attempts"]) == ("CANCELLED", 0, 0, None, [])
    assert job["finished_at"] is not None
    assert shared_system.client.get(f"/jobs/{job_id}/result").json() == {"job_id": job_id, "status": "CANCELLED", "result": None}


def test_a_job_that_is_scheduled_is_cancelled_too(shared_system: System) -> None:
    answer = shared_system.client.post("/jobs/", json={"data": [1], "operation": "square_sum", "delay": 3600})
    assert answer.json()["status"] == "SCHEDULED"
    assert shared_system.client.post(f"/jobs/{answer.json()['job_id']}/cancel").json()["status"] == "CANCELLED"


def test_many_cancels_at_once_are_all_told_the_same(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 1)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: shared_system.client.post(f"/jobs/{job_id}/cancel"), range(20)))
    assert {answer.text for answer in answers} == {f'{{"job_id":"{job_id}","status":"CANCELLED","cancel_requested":false}}'}
    assert shared_system.database.one("SELECT count(*) FROM outcomes WHERE id = %s", (job_id,)) == 1


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({}, [1, 2]),
        ({"json": {}}, [1, 2]),
        ({"json": {"data": [3.5, 4]}}, [3.5, 4]),
        ({"json": {"input": {"data": [5]}}}, [5]),
        ({"content": b""}, [1, 2]),
        ({"content": b"", "headers": JSON}, [1, 2]),
    ],
)
def test_a_cancelled_job_is_retried_with_what_is_sent_or_with_what_it_had(shared_system: System, body: dict[str, Any], given: list[float]) -> None:
    job_id = cancelled(shared_system)
    answer = retry(shared_system, job_id, **body)
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/json")
    assert answer.json() == {"job_id": job_id, "status": "PENDING", "epoch": 1}
    job = shared_system.job(job_id)
    assert (job["status"], job["epoch"], job["attempt"], job["reruns"][-1]["input"] or job["input"], job["finished_at"]) == (
        "PENDING",
        1,
        0,
        {"data": given},
        None,
    )
    assert shared_system.client.post(f"/jobs/{job_id}/cancel/").json()["status"] == "CANCELLED"
    assert retry(shared_system, job_id).json()["epoch"] == 2


def test_of_many_retries_at_once_one_is_made_and_the_others_are_told_why_not(shared_system: System, refused: Callable[..., Any]) -> None:
    job_id = cancelled(shared_system)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda n: retry(shared_system, job_id, json={"data": [n]}), range(20)))
    (made,) = (answer for answer in answers if answer.status_code == 202)
    assert made.json()["epoch"] == 1
    for answer in answers:
        if answer is not made:
            body = refused(answer, 409, "not-retryable")
            assert (body["state"], body["detail"]) == ("PENDING", "The job is PENDING; only one that is FAILED or CANCELLED can be retried.")
    assert shared_system.database.one("SELECT count(*) FROM reruns WHERE id = %s", (job_id,)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": []}, "data"),
        ({"data": ["x"]}, "data.0"),
        ({"data": None}, "data"),
        ({"data": [0.0] * 10_001}, "data"),
        ({"input": {"data": "x"}}, "input.data"),
        ({"input": {}}, "input"),
        ({"input": None}, "input"),
        ({"data": [1], "input": {"data": [1]}}, "input"),
        ({"operation": "cube_sum"}, "operation"),
        ({f"n{n}": 0 for n in range(1_000)}, "n0"),
        ([], ""),
        ("x", ""),
        ([{"data": [1]}], ""),
    ],
)
def test_an_input_that_the_operation_refuses_begins_nothing(shared_system: System, refused: Callable[..., Any], body: Any, field: str) -> None:
    job_id = cancelled(shared_system)
    found = refused(retry(shared_system, job_id, json=body), 422, "invalid-body")
    assert found["errors"][0]["field"] == field
    assert shared_system.status(job_id) == "CANCELLED"


@pytest.mark.parametrize(
    ("content", "headers", "status", "kind"),
    [
        (b"{", JSON, 400, "malformed-json"),
        (b"null", JSON, 422, "invalid-body"),
        (b'{"data":[1]}', {}, 415, "unsupported-media-type"),
        (b'{"data":[NaN]}', JSON, 422, "invalid-body"),
        (b"[" * 1_100_000, JSON, 413, "body-too-large"),
    ],
)
def test_a_body_is_read_as_that_of_a_submission(
    shared_system: System, refused: Callable[..., Any], content: bytes, headers: dict[str, str], status: int, kind: str
) -> None:
    job_id = cancelled(shared_system)
    refused(retry(shared_system, job_id, content=content, headers=headers), status, kind)
    assert shared_system.status(job_id) == "CANCELLED"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_an_unknown_job_is_not_found_and_what_is_no_uuid_is_refused_by_name(served: System, refused: Callable[..., Any], verb: str) -> None:
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"data": [1]}}, {"json": []}]
    for body in bodies:
        refused(served.client.post(f"/jobs/{UNKNOWN}/{verb}", **body), 404, "job-not-found")
    for job_id in ("1", "zebra", UNKNOWN[:-1], "x" * 10_000):
        body = refused(served.client.post(f"/jobs/{job_id}/{verb}"), 422, "invalid-parameter")
        assert [one["field"] for one in body["errors"]] == ["job_id"]


def test_an_operation_that_nobody_knows_any_more_takes_no_new_input(shared_system: System, refused: Callable[..., Any]) -> None:
    job_id = cancelled(shared_system)
    shared_system.database.rows("UPDATE jobs SET operation = 'gone' WHERE id = %s", (job_id,))
    refused(retry(shared_system, job_id, json={"data": [1]}), 422, "unknown-operation")
    assert retry(shared_system, job_id).status_code == 202, "its own input was taken once"
