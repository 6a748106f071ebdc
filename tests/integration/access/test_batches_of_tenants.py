"""Batches of two tenants: an id of another is answered as an unknown one."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from integration.access.test_tenants import UNKNOWN, Two, answer
from rig.system import System
from rig.tenants import tenant_client

LATER = {"operation": "square_sum", "data": [1], "delay_seconds": 3_600}
OF_A_BATCH: list[tuple[str, str, Any]] = [
    ("GET", "/batches/{}", None),
    ("GET", "/batches/{}?wait=0.3", None),
    ("GET", "/batches/{}/events", None),
    ("POST", "/batches/{}/jobs", [{"operation": "square_sum", "data": [1]}]),
    ("POST", "/batches/{}/close", None),
    ("POST", "/batches/{}/cancel", None),
]


@pytest.fixture(scope="module")
def two(secured: System) -> Iterator[Two]:
    """Return clients of two tenants."""
    with contextlib.ExitStack() as stack:
        ours, theirs = (stack.enter_context(tenant_client(secured, name)) for name in ("initech", "hooli"))
        yield ours, theirs


@pytest.mark.parametrize(("method", "path", "body"), OF_A_BATCH, ids=str)
def test_the_batch_of_another_is_answered_as_an_unknown_one(two: Two, method: str, path: str, body: Any) -> None:
    ours, theirs = (tenant.client for tenant in two)
    batch = theirs.post("/batches").raise_for_status().json()["batch_id"]
    theirs.post(f"/batches/{batch}/jobs", json=[LATER]).raise_for_status()
    unknown = answer(ours, method, path.format(UNKNOWN), body)
    assert unknown[0] == 404
    assert answer(ours, method, path.format(batch), body) == unknown
    found = theirs.get(f"/batches/{batch}").json()
    assert (found["status"], found["counts"]["unfinished"]) == ("OPEN", 1)


def test_lists_have_the_batches_of_the_caller_alone(two: Two) -> None:
    ours, theirs = (tenant.client for tenant in two)
    batch = theirs.post("/jobs/batch", json=[LATER]).raise_for_status().json()["batch_id"]
    assert batch not in ours.get("/batches").text
    assert batch in theirs.get("/batches").text
    assert ours.get(f"/jobs?batch={batch}").json()["jobs"] == []
    assert len(theirs.get(f"/jobs?batch={batch}").json()["jobs"]) == 1
    for _ in range(2):
        theirs.post("/batches").raise_for_status()
    cursor = theirs.get("/batches?limit=1").json()["next"]
    assert theirs.get(cursor).status_code == 200
    assert ours.get(cursor).status_code == 422


def test_every_path_with_the_id_of_a_batch_is_tried_here(two: Two) -> None:
    tried = {path.split("?")[0] for _, path, _ in OF_A_BATCH}
    document = two[0].client.get("/openapi.json").json()
    assert tried == {path.replace("{batch_id}", "{}") for path in document["paths"] if "{batch_id}" in path}


def test_the_follow_up_of_a_batch_is_of_its_tenant_and_its_creator(two: Two, secured: System) -> None:
    tenant = two[0]
    job = {"operation": "square_sum", "data": [1]}
    body = tenant.client.post("/jobs/batch", json={"jobs": [job], "follow_up": job}).raise_for_status().json()
    found = tenant.client.get(f"/batches/{body['batch_id']}?wait=20").json()
    assert found["status"] == "ENDED"
    follow_up = found["follow_up"]["job_id"]
    tenant.wait(follow_up)
    stored = "SELECT tenant, submitted_by FROM jobs WHERE id = %s"
    assert secured.database.rows(stored, (follow_up,)) == secured.database.rows(stored, (body["job_ids"][0],))
    assert found["submitted_by"] == secured.database.rows(stored, (follow_up,))[0][1]
