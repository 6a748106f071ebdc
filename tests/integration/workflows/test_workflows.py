"""Workflows as clients see them: jobs run after their parents, read their results, and end as their policies say."""

from itertools import pairwise
from typing import Any

import pytest
from rig.system import System, until

from common.domain.states import State

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
    timeline = system.job(jobs["end"]["job_id"])["timeline"]
    assert [change["status"] for change in timeline] == ["BLOCKED", "PENDING", "IN_PROGRESS", "SUCCESS"]
    assert timeline[1]["at"] == max(jobs["left"]["finished_at"], jobs["right"]["finished_at"])
    assert found["graph"] == {
        "operations": [{"operation": operation, "jobs": 4, "states": dict.fromkeys(State, 0) | {"SUCCESS": 4}}],
        "edges": [{"parent": operation, "child": operation, "count": 4}],
    }


@pytest.mark.parametrize("operation", ["flow_step", "flow_await"])
def test_policies_decide_what_becomes_of_jobs_whose_parent_has_failed(system: System, operation: str) -> None:
    system.all()
    body = submit(
        system,
        [
            step("bad", operation=operation, fails=True),
            step("slow", operation=operation, seconds=0.4),
            step("fails", "bad", operation=operation),
            step("falls_too", "fails", operation=operation),
            step("skipped", "bad", "slow", operation=operation, policy="skip"),
            step("skipped_too", "skipped", operation=operation, policy="skip"),
            step("runs", "bad", "slow", "skipped", operation=operation, policy="run", value=7),
            step("after", "runs", operation=operation),
        ],
    )
    found = at_rest(system, body["workflow_id"])
    jobs = jobs_of(system, body["workflow_id"])
    assert {name: job["status"] for name, job in jobs.items()} == {
        "bad": "FAILED",
        "slow": "SUCCESS",
        "fails": "FAILED",
        "falls_too": "FAILED",
        "skipped": "CANCELLED",
        "skipped_too": "CANCELLED",
        "runs": "SUCCESS",
        "after": "SUCCESS",
    }
    assert found["status"] == "FAILED"
    assert jobs["fails"]["error_type"] == jobs["falls_too"]["error_type"] == "parent_failed"
    error = system.job(jobs["fails"]["job_id"])["error"]
    assert jobs["bad"]["job_id"] in error["text"]
    assert jobs["skipped"]["finished_at"] < jobs["slow"]["finished_at"]  # at once
    assert jobs["runs"]["started_at"] >= jobs["slow"]["finished_at"]  # when all have ended
    assert result(system, jobs["runs"])["parents"] == {
        "bad": "FAILED",
        "slow": {"value": 0, "parents": {}},
        "skipped": "CANCELLED",
    }


def test_a_retry_resumes_from_the_failed_part_and_keeps_the_rest(system: System) -> None:
    system.all()
    (system.folder / "stop").touch()
    body = submit(
        system,
        [
            step("first", value=1),
            step("second", "first", fails_while="stop"),
            step("third", "second", "first"),
            step("fourth", "third", policy="skip"),
            step("beside", "first"),
        ],
        follow_up={"operation": "flow_plain", "input": {"value": 1}},
    )
    path = f"/workflows/{body['workflow_id']}/retry"
    assert at_rest(system, body["workflow_id"])["counts"] == {
        "unfinished": 0,
        "succeeded": 2,
        "failed": 2,
        "cancelled": 1,
    }
    before = jobs_of(system, body["workflow_id"])
    assert system.client.post(path).status_code == 200  # it fails again
    assert at_rest(system, body["workflow_id"])["status"] == "FAILED"
    (system.folder / "stop").unlink()
    assert system.client.post(path).json()["status"] == "RUNNING"
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["counts"]["succeeded"]) == ("SUCCEEDED", 5)
    after = jobs_of(system, body["workflow_id"])
    assert after["first"] == before["first"]
    assert after["beside"] == before["beside"]
    assert [system.job(after[name]["job_id"])["run"] for name in ("first", "second", "third", "fourth")] == [0, 2, 2, 2]
    assert after["third"]["started_at"] >= after["second"]["finished_at"]
    assert after["fourth"]["started_at"] >= after["third"]["finished_at"]
    assert system.client.post(path).json()["status"] == "SUCCEEDED"  # nothing is left to retry
    follow_ups = "SELECT count(*) FROM jobs WHERE metadata ->> 'batch_id' = %s"
    assert system.database.value(follow_ups, (body["workflow_id"],)) == 1


def test_a_workflow_that_runs_cannot_be_retried(system: System) -> None:
    system.api().worker()
    body = submit(system, [step("a", seconds=30), step("b", "a")])
    response = system.client.post(f"/workflows/{body['workflow_id']}/retry")
    assert response.status_code == 409
    assert response.json()["type"] == "urn:jobproc:problem:workflow-running"


def test_a_cancel_ends_all_jobs_of_a_workflow(system: System) -> None:
    system.all()
    jobs = [step("first", seconds=30), *(step(f"s{n}", "first") for n in range(30))]
    body = submit(system, [*jobs, step("last", *(f"s{n}" for n in range(30)), policy="run")])
    until("it runs", lambda: jobs_of(system, body["workflow_id"])["first"]["status"] == "IN_PROGRESS")
    system.client.post(f"/workflows/{body['workflow_id']}/cancel").raise_for_status()
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["counts"]["cancelled"]) == ("CANCELLED", 32)
    assert {job["attempt"] for name, job in jobs_of(system, body["workflow_id"]).items() if name != "first"} == {0}


def test_explain_says_for_which_parents_a_job_waits(system: System) -> None:
    system.api().worker()
    body = submit(system, [step("a", seconds=30), step("b", "a"), step("c", "b", "a")])
    jobs = jobs_of(system, body["workflow_id"])
    until("it runs", lambda: jobs_of(system, body["workflow_id"])["a"]["status"] == "IN_PROGRESS")
    found = system.client.get(f"/jobs/{jobs['c']['job_id']}/explain").json()
    assert found["status"] == "BLOCKED"
    (reason,) = found["reasons"]
    assert reason["code"] == "waits_for_parents"
    assert reason["text"] == (
        f"It waits for 2 of its 2 parents: 'a' ({jobs['a']['job_id']}, IN_PROGRESS), "
        f"'b' ({jobs['b']['job_id']}, BLOCKED)."
    )
    assert found["expected_start"] is None
    assert found["waited"]["scheduled_seconds"] > 0
    assert found["waited"]["queued_seconds"] == 0
    listed = system.client.get(f"/jobs?status=BLOCKED&batch={body['workflow_id']}").json()["jobs"]
    assert {job["job_id"] for job in listed} == {jobs["b"]["job_id"], jobs["c"]["job_id"]}
    stats = system.client.get("/stats").json()["queues"]
    assert [queue["queued"] for queue in stats if queue["queue"] == "default"] == [0]


def test_a_repeated_request_with_its_idempotency_key_is_answered_with_the_first_workflow(shared: System) -> None:
    body = {"jobs": [step("a"), step("b", "a")]}
    answers = [shared.client.post("/workflows", json=body, headers={"Idempotency-Key": "flow"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 200]
    assert answers[0].json() == answers[1].json()


def test_workflows_are_listed_apart_from_batches(shared: System) -> None:
    workflow_id = submit(shared, [step("a")])["workflow_id"]
    batch_id = shared.client.post("/jobs/batch", json=[{"operation": "flow_plain"}]).json()["batch_id"]
    at_rest(shared, workflow_id)
    listed = shared.client.get("/workflows?status=SUCCEEDED&limit=200").json()["workflows"]
    assert workflow_id in {found["workflow_id"] for found in listed}
    assert batch_id not in {found["workflow_id"] for found in listed}
    assert workflow_id not in shared.client.get("/batches").text
    assert shared.client.get(f"/workflows/{batch_id}").status_code == 404
    first = shared.client.get("/workflows?limit=1").json()
    assert len(first["workflows"]) == 1


def test_a_job_that_holds_a_key_while_it_runs_waits_for_its_parents_first(system: System) -> None:
    """Parked jobs and jobs that wait for parents are both at infinity: neither is woken as the other."""
    system.all()
    keyed = {"unique": {"key": "one", "while": "running"}}
    jobs = [step("root", seconds=0.3), *({**step(f"k{n}", "root", seconds=0.05), **keyed} for n in range(6))]
    plain = [{"operation": "flow_step", "input": {"seconds": 0.05}, **keyed} for _ in range(4)]
    body = submit(system, [*jobs, step("end", *(f"k{n}" for n in range(6)))])
    system.client.post("/jobs/batch", json=plain).raise_for_status()
    assert at_rest(system, body["workflow_id"])["status"] == "SUCCEEDED"
    system.wait_all()
    found = jobs_of(system, body["workflow_id"])
    assert min(found[f"k{n}"]["started_at"] for n in range(6)) >= found["root"]["finished_at"]
    times = system.database.rows(
        """SELECT o.started_at, o.finished_at FROM outcomes o JOIN jobs j ON j.id = o.id
        WHERE j.unique_key = 'one' ORDER BY o.started_at"""
    )
    assert len(times) == 10
    assert all(start >= end for (_, end), (start, _) in pairwise(times))
