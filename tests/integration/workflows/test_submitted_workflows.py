"""Workflows that operations submit by the API: repeated attempts get those of the first one, whatever ended it."""

from typing import Any

import pytest
from integration.workflows.test_workflows import at_rest, jobs_of, result
from rig.system import System


def run(system: System, operation: str, **job_input: Any) -> dict[str, Any]:
    response = system.client.post("/jobs/", json={"operation": operation, "input": job_input})
    assert response.status_code == 202, response.text
    return system.wait(response.json()["job_id"])


def started(system: System) -> System:
    """Start an API, a controller and a worker that knows the API."""
    return system.api().worker(JOBPROC_API_URL=f"http://127.0.0.1:{system.port}").controller()


@pytest.mark.parametrize("then", ["", "raise", "die"])
def test_a_repeated_attempt_gets_the_workflows_of_the_first_one(system: System, then: str) -> None:
    job = run(started(system), "flow_submit", count=4, then=then)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 2 if then else 1)
    first, further, second = job["result"]
    assert system.wait(further)["operation"] == "noop"
    for workflow_id in (first, second):
        found = at_rest(system, workflow_id)
        assert (found["status"], found["jobs"]) == ("SUCCEEDED", 5)
        assert result(system, jobs_of(system, workflow_id)["sum"]) == 6
    assert found["follow_up"]["operation"] == "noop"
    assert system.database.value("SELECT count(*) FROM batches") == 2


def test_an_async_operation_submits_workflows(system: System) -> None:
    job = run(started(system), "flow_submit_await", count=3)
    assert len({at_rest(system, workflow_id)["workflow_id"] for workflow_id in job["result"]}) == 2
    assert system.database.value("SELECT count(*) FROM idempotency_keys WHERE key = %s", [f"own-{job['job_id']}"]) == 1


def test_a_refused_workflow_is_an_error_with_the_reason_of_the_api(system: System) -> None:
    error = run(started(system), "flow_submit", count=4, parent="nobody")["error"]
    assert error["type"] == "SubmissionError"
    assert "the workflow of 5 jobs was not submitted: " in error["text"]
    assert "responded 422" in error["text"]
    assert "nobody" in error["text"]
    assert system.database.value("SELECT count(*) FROM batches") == 0
