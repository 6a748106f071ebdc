"""The submitter of a job: in the job itself, however it was submitted, and nobody where callers do not authenticate."""

from typing import Any

import httpx
import pytest
from rig.keys import client_of, new_key
from rig.system import System

JOB = {"data": [1], "operation": "square_sum", "delay_seconds": 3_600}
PLAIN = {"data": [1], "operation": "square_sum"}
WAYS: dict[str, tuple[str, Any, dict[str, str]]] = {
    "plain": ("/jobs/", PLAIN, {}),
    "options": ("/jobs/", JOB, {}),
    "idempotency key": ("/jobs/", JOB, {"Idempotency-Key": "who"}),
    "unique key": ("/jobs/", {**JOB, "unique": {"key": "who"}}, {}),
    "running key": ("/jobs/", {**JOB, "unique": {"key": "who-runs", "while": "running"}}, {}),
    "batch": ("/jobs/batch", [JOB], {}),
}


def submitted(client: httpx.Client, way: str) -> str:
    path, body, headers = WAYS[way]
    answer = client.post(path, json=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json().get("job_id") or answer.json()["job_ids"][0])


@pytest.mark.parametrize("way", WAYS)
def test_a_job_names_the_key_that_submitted_it(owner: httpx.Client, secured: System, way: str) -> None:
    job = owner.get(f"/jobs/{submitted(owner, way)}").json()
    assert job["submitted_by"] == f"key:{owner.headers['Authorization'].split('_')[1]}"
    body = {**JOB, "submitted_by": "key:another"}
    assert owner.post("/jobs/", json=body).json()["errors"][0]["field"] == "submitted_by", "no client chooses it"


def test_a_retry_by_another_leaves_who_submitted_it(owner: httpx.Client, secured: System) -> None:
    job_id = submitted(owner, "options")
    with client_of(secured, new_key(secured.database)) as other:
        other.post(f"/jobs/{job_id}/cancel").raise_for_status()
        other.post(f"/jobs/{job_id}/retry").raise_for_status()
        assert (
            other.get(f"/jobs/{job_id}").json()["submitted_by"].endswith(owner.headers["Authorization"].split("_")[1])
        )


def test_without_authentication_nobody_is_named(shared: System) -> None:
    job_id = shared.submit("square_sum", 1)
    assert shared.job(job_id)["submitted_by"] is None
    assert shared.database.value("SELECT submitted_by FROM jobs WHERE id = %s", (job_id,)) is None
