"""Submissions of workflows: what is refused, and workflows of NDJSON."""

import json

import httpx
import pytest
from integration.workflows.test_workflows import Job, at_rest, step
from rig.system import System


@pytest.mark.parametrize(
    ("jobs", "field", "reason"),
    [
        ([step("a", "b")], "jobs.0.depends_on.0", "no job of the workflow has the name 'b'"),
        ([step("a"), step("b", "a", "a")], "jobs.1.depends_on.1", "'a' stands twice in the list"),
        ([step("a"), step("a")], "jobs.1.name", "is also the name of job 0"),
        ([step("a", "a")], "jobs.0.depends_on.0", "a job cannot wait for itself"),
        (
            [step("x"), step("a", "c"), step("b", "a"), step("c", "b", "x")],
            "jobs.1.depends_on",
            "is part of a cycle: 'a' waits for 'c' waits for 'b' waits for 'a'",
        ),
        ([{**step("a"), "name": "no spaces"}], "jobs.0.name", "String should match pattern"),
        ([{**step("a"), "on_parent_failure": "wait"}], "jobs.0.on_parent_failure", "Input should be 'fail'"),
        ([step("a"), {**step("b", "a"), "delay_seconds": 3}], "jobs.1.delay_seconds", "cannot be combined"),
        ([{**step("a"), "unique": {"key": "k"}}], "jobs.0.unique", "is possible in a workflow only with"),
        ([], "jobs", "an array of 1 to 10000 submissions is expected"),
    ],
)
def test_what_is_no_graph_is_refused_with_the_name_of_the_field(
    shared: System, jobs: list[Job], field: str, reason: str
) -> None:
    response = shared.client.post("/workflows", json={"jobs": jobs})
    assert response.status_code == 422, response.text
    error = response.json()["errors"][0]
    assert error["field"] == field
    assert error["reason"].startswith(reason)


def lines_of(jobs: list[Job]) -> bytes:
    return b"".join(json.dumps(job).encode() + b"\n" for job in jobs)


def submit_lines(system: System, jobs: list[Job], **headers: str) -> httpx.Response:
    return system.client.post(
        "/workflows", content=lines_of(jobs), headers={"Content-Type": "application/x-ndjson", **headers}, timeout=120
    )


def test_a_workflow_of_lines_is_stored_as_a_whole(system: System) -> None:
    system.all()
    layers = [
        step(f"l{layer}.{n}", *(f"l{layer - 1}.{m}" for m in range(30) if layer), operation="flow_plain")
        for layer in reversed(range(40))  # children stand before their parents
        for n in range(30)
    ]
    response = submit_lines(system, layers)
    assert response.status_code == 202, response.text
    body = response.json()
    assert (body["jobs"], body["job_ids"]) == (1_200, [])
    assert at_rest(system, body["workflow_id"])["counts"]["succeeded"] == 1_200
    repeated = [submit_lines(system, layers[-30:], **{"Idempotency-Key": "lines"}) for _ in range(2)]
    assert [answer.status_code for answer in repeated] == [202, 200]
    assert repeated[0].json() == repeated[1].json()


@pytest.mark.parametrize(
    ("jobs", "field"),
    [
        ([step("a"), step("b", "c")], "2.depends_on.0"),
        ([step("a", "b"), step("b", "a")], "1.depends_on"),
        ([step("a"), {**step("b"), "on_parent_failure": "no"}], "2.on_parent_failure"),
        ([step("a"), {**step("b"), "operation": "nothing"}], "2.operation"),
    ],
)
def test_a_workflow_of_lines_that_is_no_graph_names_the_line(shared: System, jobs: list[Job], field: str) -> None:
    response = submit_lines(shared, jobs)
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, field)
