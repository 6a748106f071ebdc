"""POST /jobs/validate: what would be stored, and every refusal of a submission, while nothing is stored."""

from typing import Any

import pytest
from rig.system import System

PATH = "/jobs/validate"


def test_the_response_has_what_would_be_stored(shared: System) -> None:
    body = {"operation": "square_sum", "data": [1], "priority": 0, "delay_seconds": 60, "timeout_seconds": 2.5}
    before = shared.database.value("SELECT count(*) FROM jobs")
    response = shared.client.post(PATH, json=body)
    assert response.status_code == 200
    valid = response.json()
    assert (valid["queue"], valid["priority"], valid["timeout_seconds"]) == ("default", 0, 2.5)
    assert valid["status"] == "SCHEDULED"
    assert shared.client.post(PATH, json={"operation": "square_sum", "data": [1]}).json()["status"] == "PENDING"
    assert shared.database.value("SELECT count(*) FROM jobs") == before


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ({"operation": "nothing", "data": [1]}, "unknown-operation", "operation"),
        ({"operation": "square_sum", "data": []}, "invalid-body", "data"),
        ({"operation": "square_sum", "data": [1], "priority": 11}, "invalid-body", "priority"),
    ],
)
def test_it_is_refused_as_by_a_submission(shared: System, body: dict[str, Any], kind: str, text: str) -> None:
    problem = shared.client.post(PATH, json=body).json()
    assert problem["type"] == f"urn:jobproc:problem:{kind}"
    assert text in str(problem)
    submitted = shared.client.post("/jobs/", json=body).json()
    assert {**submitted, "request_id": ""} == {**problem, "request_id": ""}
