"""POST /jobs/results: the results of many jobs in one request, of those that have ended, of one's own tenant."""

import uuid

import httpx
import pytest
from rig.system import System

ENDED = {"status": "SUCCESS", "attempt": 1, "result_omitted": False}


def read(system: System, job_ids: list[str]) -> httpx.Response:
    return system.client.post("/jobs/results", json={"job_ids": job_ids})


def test_ended_jobs_come_in_the_order_of_the_request(shared: System) -> None:
    ids = shared.submit_many("square_sum", [[number] for number in range(700)])
    shared.wait_all()
    later = shared.client.post("/jobs/", json={"operation": "noop", "data": [1], "delay_seconds": 900}).json()["job_id"]
    unknown = str(uuid.uuid4())
    asked = [later, *reversed(ids), unknown, ids[0]]
    answer = read(shared, asked).json()
    assert (answer["unfinished"], answer["not_found"]) == (1, [unknown])
    assert answer["ended"] == [
        {"job_id": job_id, "result": float(number**2), **ENDED} for number, job_id in reversed(list(enumerate(ids)))
    ]


def test_a_failure_has_its_error_and_attempt_and_a_cancelled_job_neither(shared: System) -> None:
    failed = shared.submit("fail_for_good", 1)
    cancelled = shared.client.post("/jobs/", json={"operation": "noop", "data": [1], "delay_seconds": 900}).json()[
        "job_id"
    ]
    shared.client.post(f"/jobs/{cancelled}/cancel")
    shared.wait(failed)
    first, second = read(shared, [failed, cancelled]).json()["ended"]
    assert (first["status"], first["error"]["type"], first["attempt"]) == ("FAILED", "PermanentFailure", 1)
    assert (second["status"], second["result"], second["attempt"], "error" in second) == ("CANCELLED", None, 0, False)


def test_a_large_result_is_omitted(system: System) -> None:
    system.all()
    large, small = system.submit("big_result", 5_000), system.submit("big_result", 10)
    system.wait_all()
    first, second = read(system, [large, small]).json()["ended"]
    assert (first["result"], first["result_omitted"]) == (None, True)
    assert second["result"] is not None
    assert not second["result_omitted"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "job_ids"),
        ({"job_ids": []}, "job_ids"),
        ({"job_ids": ["no id"]}, "job_ids.0"),
        ({"job_ids": [str(uuid.uuid4())], "more": 1}, "more"),
        ({"job_ids": [str(uuid.uuid4()) for _ in range(1_001)]}, "job_ids"),
    ],
)
def test_a_wrong_body_is_refused_with_its_field(shared: System, body: dict[str, object], field: str) -> None:
    response = shared.client.post("/jobs/results", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field
