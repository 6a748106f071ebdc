"""Workflows of two tenants: an id of another is answered as an unknown one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from integration.access.test_tenants import UNKNOWN, Two, answer
from rig.system import System, until
from rig.tenants import tenant_client

FIRST = {"name": "first", "operation": "square_sum", "data": [1]}
SECOND = {"name": "second", "operation": "square_sum", "data": [1], "depends_on": ["first"]}
BODY = {"jobs": [FIRST | {"delay_seconds": 3_600}, SECOND]}
OF_A_WORKFLOW: list[tuple[str, str, Any]] = [
    ("GET", "/workflows/{}", None),
    ("GET", "/workflows/{}?wait=0.3", None),
    ("GET", "/workflows/{}/jobs", None),
    ("POST", "/workflows/{}/cancel", None),
    ("POST", "/workflows/{}/retry", None),
]


@pytest.fixture(scope="module")
def two(secured: System) -> Iterator[Two]:
    """Return clients of two tenants."""
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(tenant_client(secured, name)) for name in ("umbrella", "vandelay"))
        yield ours, theirs


@pytest.mark.parametrize(("method", "path", "body"), OF_A_WORKFLOW, ids=str)
def test_the_workflow_of_another_is_answered_as_an_unknown_one(two: Two, method: str, path: str, body: Any) -> None:
    ours, theirs = (tenant.client for tenant in two)
    workflow = theirs.post("/workflows", json=BODY).raise_for_status().json()["workflow_id"]
    unknown = answer(ours, method, path.format(UNKNOWN), body)
    assert unknown[0] == 404
    assert answer(ours, method, path.format(workflow), body) == unknown
    found = theirs.get(f"/workflows/{workflow}").json()
    assert (found["status"], found["counts"]["unfinished"]) == ("RUNNING", 2)


def test_lists_have_the_workflows_of_the_caller_alone(two: Two) -> None:
    ours, theirs = (tenant.client for tenant in two)
    workflow = theirs.post("/workflows", json=BODY).raise_for_status().json()["workflow_id"]
    assert workflow not in ours.get("/workflows").text
    assert workflow in theirs.get("/workflows").text
    cursor = theirs.get("/workflows?limit=1").json()["next"]
    assert theirs.get(cursor).status_code == 200
    assert ours.get(cursor).status_code == 422


def test_a_tenant_runs_cancels_and_retries_its_workflow(two: Two) -> None:
    client = two[0].client
    workflow = client.post("/workflows", json={"jobs": [FIRST, SECOND]}).raise_for_status().json()["workflow_id"]
    assert client.get(f"/workflows/{workflow}?wait=20").json()["status"] == "SUCCEEDED"
    workflow = client.post("/workflows", json=BODY).raise_for_status().json()["workflow_id"]
    client.post(f"/workflows/{workflow}/cancel").raise_for_status()
    assert client.get(f"/workflows/{workflow}?wait=20").json()["status"] == "CANCELLED"
    until("its cancel is done", lambda: client.post(f"/workflows/{workflow}/retry").status_code == 200)
    assert client.get(f"/workflows/{workflow}?wait=20").json()["status"] == "SUCCEEDED"


def test_every_path_with_the_id_of_a_workflow_is_tried_here(two: Two) -> None:
    tried = {path.split("?")[0] for _, path, _ in OF_A_WORKFLOW}
    document = two[0].client.get("/openapi.json").json()
    assert tried == {path.replace("{workflow_id}", "{}") for path in document["paths"] if "{workflow_id}" in path}
