"""Cancel and manual retry over HTTP: exact responses, idempotence, errors."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from rig.system import System

UNKNOWN = "019aa5d4-7b1c-7c3e-9d41-0b8b3f6c2a10"
JSON = {"Content-Type": "application/json"}


def cancelled_job(system: System, operation: str = "square_sum", *data: float) -> str:
    """Submit and cancel a job; return its id. These tests run no worker."""
    job_id = system.submit(operation, *(data or (1, 2)))
    assert system.client.post(f"/jobs/{job_id}/cancel").status_code == 200
    return job_id


def retry(system: System, job_id: str, **body: Any) -> httpx.Response:
    return system.client.post(f"/jobs/{job_id}/retry", **body)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_pending_job_can_be_cancelled_repeatedly(shared_system: System, slash: str) -> None:
    job_id = shared_system.submit("square_sum", 1)
    for _ in range(3):
        response = shared_system.client.post(f"/jobs/{job_id}/cancel{slash}")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        assert response.json() == {"job_id": job_id, "status": "CANCELLED", "cancel_requested": False}
    job = shared_system.job(job_id)
    assert (job["status"], job["attempt"], job["run"], job["result"], job["attempts"]) == ("CANCELLED", 0, 0, None, [])
    assert job["finished_at"] is not None
    assert shared_system.client.get(f"/jobs/{job_id}/result").json() == {
        "job_id": job_id,
        "status": "CANCELLED",
        "result": None,
    }


def test_a_scheduled_job_is_cancelled(shared_system: System) -> None:
    response = shared_system.client.post("/jobs/", json={"data": [1], "operation": "square_sum", "delay_seconds": 3600})
    assert response.json()["status"] == "SCHEDULED"
    assert shared_system.client.post(f"/jobs/{response.json()['job_id']}/cancel").json()["status"] == "CANCELLED"


def test_concurrent_cancels_get_the_same_response(shared_system: System) -> None:
    job_id = shared_system.submit("square_sum", 1)
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda _: shared_system.client.post(f"/jobs/{job_id}/cancel"), range(20)))
    assert {response.text for response in responses} == {
        f'{{"job_id":"{job_id}","status":"CANCELLED","cancel_requested":false}}'
    }
    assert shared_system.database.value("SELECT count(*) FROM outcomes WHERE id = %s", (job_id,)) == 1


@pytest.mark.parametrize(
    ("request_", "numbers"),
    [
        ({}, [1, 2]),
        ({"json": {}}, [1, 2]),
        ({"json": {"data": [3.5, 4]}}, [3.5, 4]),
        ({"json": {"input": {"data": [5]}}}, [5]),
        ({"content": b""}, [1, 2]),
        ({"content": b"", "headers": JSON}, [1, 2]),
    ],
)
def test_a_cancelled_job_is_retried_with_a_new_input_or_its_own(
    shared_system: System, request_: dict[str, Any], numbers: list[float]
) -> None:
    job_id = cancelled_job(shared_system)
    response = retry(shared_system, job_id, **request_)
    assert (response.status_code, response.headers["content-type"]) == (202, "application/json")
    assert response.json() == {"job_id": job_id, "status": "PENDING", "run": 1}
    job = shared_system.job(job_id)
    assert (
        job["status"],
        job["run"],
        job["attempt"],
        job["runs"][-1]["input"] or job["input"],
        job["finished_at"],
    ) == (
        "PENDING",
        1,
        0,
        {"data": numbers},
        None,
    )
    assert shared_system.client.post(f"/jobs/{job_id}/cancel/").json()["status"] == "CANCELLED"
    assert retry(shared_system, job_id).json()["run"] == 2


def test_one_of_many_concurrent_retries_succeeds_and_the_others_get_a_conflict(
    shared_system: System, assert_problem: Callable[..., Any]
) -> None:
    job_id = cancelled_job(shared_system)
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(lambda n: retry(shared_system, job_id, json={"data": [n]}), range(20)))
    (accepted,) = (response for response in responses if response.status_code == 202)
    assert accepted.json()["run"] == 1
    for response in responses:
        if response is not accepted:
            body = assert_problem(response, 409, "not-retryable")
            assert (body["state"], body["detail"]) == (
                "PENDING",
                "The job is PENDING; only one that is FAILED or CANCELLED can be retried.",
            )
    assert shared_system.database.value("SELECT count(*) FROM runs WHERE id = %s", (job_id,)) == 1


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
def test_an_input_that_the_operation_refuses_starts_no_run(
    shared_system: System, assert_problem: Callable[..., Any], body: Any, field: str
) -> None:
    job_id = cancelled_job(shared_system)
    problem = assert_problem(retry(shared_system, job_id, json=body), 422, "invalid-body")
    assert problem["errors"][0]["field"] == field
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
def test_the_body_of_a_retry_is_parsed_like_that_of_a_submission(
    shared_system: System,
    assert_problem: Callable[..., Any],
    content: bytes,
    headers: dict[str, str],
    status: int,
    kind: str,
) -> None:
    job_id = cancelled_job(shared_system)
    assert_problem(retry(shared_system, job_id, content=content, headers=headers), status, kind)
    assert shared_system.status(job_id) == "CANCELLED"


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_an_unknown_job_is_not_found_and_a_malformed_id_is_named(
    read_only_system: System, assert_problem: Callable[..., Any], verb: str
) -> None:
    bodies: list[dict[str, Any]] = [{}, {"json": {}}, {"json": {"data": [1]}}, {"json": []}]
    for body in bodies:
        assert_problem(read_only_system.client.post(f"/jobs/{UNKNOWN}/{verb}", **body), 404, "job-not-found")
    for job_id in ("1", "zebra", UNKNOWN[:-1], "x" * 8_000):
        body = assert_problem(read_only_system.client.post(f"/jobs/{job_id}/{verb}"), 422, "invalid-parameter")
        assert [error["field"] for error in body["errors"]] == ["job_id"]


def test_a_job_of_a_removed_operation_takes_no_new_input(
    shared_system: System, assert_problem: Callable[..., Any]
) -> None:
    job_id = cancelled_job(shared_system)
    shared_system.database.rows("UPDATE jobs SET operation = 'gone' WHERE id = %s", (job_id,))
    assert_problem(retry(shared_system, job_id, json={"data": [1]}), 422, "unknown-operation")
    assert retry(shared_system, job_id).status_code == 202, "its own input was validated at its submission"
