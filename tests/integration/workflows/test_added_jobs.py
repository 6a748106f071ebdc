"""Jobs that a running job adds to its workflow: they exist if its result stands, and are waited for as it is."""

from typing import Any

import pytest
from integration.workflows.test_workflows import at_rest, jobs_of, result, step, submit
from rig.system import System


def split(name: str, *depends_on: str, operation: str = "flow_split", **members: Any) -> dict[str, Any]:
    """Return a job that adds others."""
    return {"name": name, "depends_on": list(depends_on), "operation": operation, "input": members}


@pytest.mark.parametrize(("split_by", "operation"), [("flow_split", "flow_step"), ("flow_split_await", "flow_await")])
def test_whoever_waits_for_a_job_waits_for_those_that_it_adds(system: System, split_by: str, operation: str) -> None:
    system.all()
    body = submit(
        system,
        [
            split("split", operation=split_by, count=20),
            step("beside"),
            step("alone", "split", operation=operation),
            step("join", "split", "beside", operation=operation),
        ],
    )
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["jobs"]) == ("SUCCEEDED", 24)
    jobs = jobs_of(system, body["workflow_id"])
    parts = {name: job for name, job in jobs.items() if name.startswith("split/part")}
    assert len(parts) == 20
    last = max(job["finished_at"] for job in parts.values())
    for name, others in (("alone", 0), ("join", 1)):
        assert jobs[name]["started_at"] >= last
        assert jobs[name]["parents"] == 21 + others
        parents = result(system, jobs[name])["parents"]
        assert parents.keys() >= parts.keys() | {"split"}
        assert parents["split/part3"]["value"] == 3
    assert result(system, parts["split/part3"]) == {"value": 3, "parents": {"split": 20}}


@pytest.mark.parametrize("then", ["raise", "die"])
def test_an_attempt_that_fails_adds_none_and_its_repetition_adds_each_once(system: System, then: str) -> None:
    system.all()
    body = submit(system, [split("split", count=10, then=then), step("join", "split")])
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["jobs"]) == ("SUCCEEDED", 12)
    assert len(jobs_of(system, body["workflow_id"])) == 12


def test_a_job_that_fails_for_good_adds_none(system: System) -> None:
    system.all()
    body = submit(system, [split("split", count=10, then="fail"), step("join", "split", policy="run")])
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["jobs"]) == ("FAILED", 2)
    assert jobs_of(system, body["workflow_id"])["join"]["status"] == "SUCCESS"


def test_added_jobs_add_jobs(system: System) -> None:
    system.all()
    body = submit(system, [split("split", count=3, depth=2), step("join", "split")])
    found = at_rest(system, body["workflow_id"])
    assert (found["status"], found["jobs"]) == ("SUCCEEDED", 2 + 3 + 9 + 27)
    jobs = jobs_of(system, body["workflow_id"])
    assert jobs["split/part1/part2/part0"]["status"] == "SUCCESS"
    assert jobs["join"]["started_at"] >= max(job["finished_at"] for name, job in jobs.items() if name != "join")


def test_added_jobs_may_wait_for_each_other(system: System) -> None:
    system.all()
    body = submit(
        system,
        [{"name": "d", "operation": "flow_diamond"}, step("end", "d")],
    )
    assert at_rest(system, body["workflow_id"])["status"] == "SUCCEEDED"
    jobs = jobs_of(system, body["workflow_id"])
    assert result(system, jobs["d/bottom"])["parents"].keys() == {"d/left", "d/right"}
    assert jobs["end"]["started_at"] >= jobs["d/bottom"]["finished_at"]


def test_an_unknown_operation_fails_the_attempt_that_adds_a_job_with_it(system: System) -> None:
    system.all()
    body = submit(
        system, [split("split", count=2, operation="flow_split") | {"input": {"count": 1, "operation": "no"}}]
    )
    assert at_rest(system, body["workflow_id"])["status"] == "FAILED"
    error = system.job(body["job_ids"][0])["error"]
    assert error["type"] == "result_not_stored"
    assert error["text"] == "the job 'part0' was not added to the workflow: no operation has the name 'no'"


def test_a_job_in_no_workflow_cannot_add_jobs(system: System) -> None:
    system.all()
    job = system.client.post("/jobs", json={"operation": "flow_split", "input": {"count": 1}}).json()
    failed = system.wait(job["job_id"])
    assert failed["status"] == "FAILED"
    assert failed["error"]["text"].endswith("the running job is in no workflow")
