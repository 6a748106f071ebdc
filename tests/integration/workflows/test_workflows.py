"""Workflows as clients see them: jobs run after their parents, read their results, and end as their policies say."""

from typing import Any

import pytest
from rig.system import System, until

Job = dict[str, Any]


def step(name: str, *depends_on: str, operation: str = "flow_step", policy: str = "fail", **step_input: Any) -> Job:
    """Return a job of a workflow."""
    return {
        "name": name,
        "depends_on": list(depends_on),
        "on_parent_failure": policy,
        "operation": operation,
        "input": step_input,
    }


def submit(system: System, jobs: list[Job], **members: Any) -> dict[str, Any]:
    response = system.client.post("/workflows", json={"jobs": jobs, **members})
    assert response.status_code == 202, response.text
    body: dict[str, Any] = response.json()
    assert response.headers["location"] == f"/workflows/{body['workflow_id']}"
    return body


def workflow(system: System, workflow_id: str, **parameters: Any) -> dict[str, Any]:
    response = system.client.get(f"/workflows/{workflow_id}", params=parameters, timeout=70)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    assert sum(body["counts"].values()) == body["jobs"]
    return body


def at_rest(system: System, workflow_id: str) -> dict[str, Any]:
    return dict(
        until("it is at rest", lambda: (w := workflow(system, workflow_id))["status"] != "RUNNING" and w, limit_s=40)
    )


def jobs_of(system: System, workflow_id: str) -> dict[str, Job]:
    """Return the jobs of a workflow by name, read page by page."""
    found: dict[str, Job] = {}
    path = f"/workflows/{workflow_id}/jobs?limit=7"
    while path:
        page = system.client.get(path).raise_for_status().json()
        found |= {job["name"]: job for job in page["jobs"]}
        path = page["next"]
    return found


def result(system: System, job: Job) -> Any:
    return system.client.get(f"/jobs/{job['job_id']}/result").json()["result"]


@pytest.mark.parametrize("operation", ["flow_step", "flow_await"])
def test_a_job_runs_after_its_parents_and_reads_their_results(system: System, operation: str) -> None:
    system.all()
    body = submit(
        system,
        [
            step("end", "left", "right", operation=operation, value=4),
            step("start", operation=operation, value=1),
            step("left", "start", operation=operation, value=2),
            step("right", "start", operation=operation, value=3),
        ],
    )
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["counts"]["succeeded"]) == ("SUCCEEDED", 4)
    jobs = jobs_of(system, body["workflow_id"])
    assert list(jobs) == ["start", "left", "right", "end"]
    assert [jobs[name]["job_id"] for name in ("end", "start", "left", "right")] == body["job_ids"]
    assert result(system, jobs["end"]) == {
        "value": 4,
        "parents": {
            "left": {"value": 2, "parents": {"start": {"value": 1, "parents": {}}}},
            "right": {"value": 3, "parents": {"start": {"value": 1, "parents": {}}}},
        },
    }
    assert jobs["end"]["started_at"] >= max(jobs["left"]["finished_at"], jobs["right"]["finished_at"])
    assert found["graph"] == {
        "operations": [{"operation": operation, "jobs": 4, "states": {"SUCCESS": 4}}],
        "edges": [{"parent": operation, "child": operation, "count": 4}],
    }
