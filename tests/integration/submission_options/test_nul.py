"""The character U+0000 in submissions: PostgreSQL stores inputs as they are sent, so an input may have it."""

from typing import Any

import pytest
from rig.system import System

NAME = 'a\x00b\\u0000c"\\\x00'
OPTIONS: list[dict[str, Any]] = [{}, {"tags": ["nul"]}, {"unique": {"key": "nul"}}]


@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "with options", "with a unique key"])
def test_an_input_with_nul_is_stored_and_run_as_sent(shared: System, options: dict[str, Any]) -> None:
    body = {"operation": "greet", "input": {"name": NAME}} | options
    for path, submissions in (("/jobs/", body), ("/jobs/batch", [body])):
        response = shared.client.post(path, json=submissions)
        assert response.status_code == 202, response.text
        job = shared.wait(response.json().get("job_id") or response.json()["job_ids"][0])
        assert (job["status"], job["result"], job["input"]) == ("SUCCESS", f"hello {NAME}", {"name": NAME})


def test_an_input_with_nul_may_be_that_of_a_manual_retry(shared: System) -> None:
    job_id = shared.client.post(
        "/jobs/", json={"operation": "greet", "input": {"name": "a"}, "delay_seconds": 1_000}
    ).json()["job_id"]
    assert shared.client.post(f"/jobs/{job_id}/cancel").status_code == 200
    response = shared.client.post(f"/jobs/{job_id}/retry", json={"input": {"name": NAME}})
    assert response.status_code == 202, response.text
    job = shared.wait(job_id)
    assert (job["status"], job["result"], job["runs"][0]["input"]) == ("SUCCESS", f"hello {NAME}", {"name": NAME})


def test_a_backslash_before_u0000_is_no_nul(shared: System) -> None:
    """The six characters of the escape are a text like any other."""
    metadata, tag = {"\\u0000": "\\u0000", "b": ["\\\\u0000"]}, "\\u0000"
    response = shared.client.post(
        "/jobs/", json={"operation": "square_sum", "data": [1], "metadata": metadata, "tags": [tag]}
    )
    assert response.status_code == 202, response.text
    job = shared.wait(response.json()["job_id"])
    assert (job["metadata"], job["tags"]) == (metadata, [tag])
    assert [found["job_id"] for found in shared.client.get("/jobs", params={"tag": tag}).json()["jobs"]] == [
        job["job_id"]
    ]
