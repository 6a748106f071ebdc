"""POST /jobs/batch: many submissions, one transaction, ids in their order."""

import uuid
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from rig.system import System

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}


def test_ids_are_in_the_order_of_the_submissions_and_all_are_of_one_transaction(system: System) -> None:
    system.api()
    answer = system.client.post("/jobs/batch", json=[{"data": [n], "operation": ("square_sum", "cube_sum")[n % 2]} for n in range(1_000)])
    assert answer.status_code == 202
    body = answer.json()
    assert set(body) == {"job_ids", "status"}
    assert body["status"] == "PENDING"
    assert {uuid.UUID(job_id).version for job_id in body["job_ids"]} == {7}
    stored = {str(row[0]): row[1:] for row in system.database.rows("SELECT id, operation, input FROM jobs")}
    assert [stored[job_id] for job_id in body["job_ids"]] == [(("square_sum", "cube_sum")[n % 2], {"data": [n]}) for n in range(1_000)]
    assert system.database.one("SELECT count(DISTINCT xmin::text) FROM jobs") == 1
    assert system.database.one("SELECT count(*) FROM live") == 1_000


def test_ten_thousand_are_taken_and_run(system: System) -> None:
    """The most that a batch may have; the doorbell for them wakes the worker."""
    system.api().worker()
    job_ids = system.submit_many("square_sum", [[float(n)] for n in range(10_000)])
    assert len(set(job_ids)) == 10_000
    system.wait_all()
    results = dict(system.database.rows("SELECT id::text, result::text FROM outcomes WHERE status = 'SUCCESS'"))
    assert [float(results[job_id]) for job_id in job_ids] == [n * n for n in range(10_000)]


@pytest.mark.parametrize(
    "raw",
    [b"{}", b"[]", b"null", b"1", b'"[]"', orjson.dumps(GOOD), b"[" + b",".join([orjson.dumps(GOOD)] * 10_001) + b"]"],
    ids=["object", "empty", "null", "number", "text", "a lone submission", "one too many"],
)
def test_what_is_not_1_to_10000_submissions_is_refused(served: System, post: Callable[..., Any], refused: Callable[..., Any], raw: bytes) -> None:
    body = refused(post(served, raw, "/jobs/batch"), 422, "invalid-body")
    assert [one["field"] for one in body["errors"]] == [""], "the whole body"
    assert "1 to 10000" in body["detail"]


@pytest.mark.parametrize("at", [0, 4_999, 9_999])
@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"data": [1, True], "operation": "square_sum"}, "{}.data.1"),
        ({"data": [1], "operation": "square_sum", "extra": 1}, "{}.extra"),
        ({"data": [], "operation": "square_sum"}, "{}.data"),
        ({"data": [1]}, "{}.operation"),
        ({"data": [1], "operation": "nope"}, "{}.operation"),
        ({"data": [0] * 10_001, "operation": "cube_sum"}, "{}.data"),
        (7, "{}"),
        (None, "{}"),
    ],
)
def test_one_bad_submission_refuses_all_and_is_named_by_its_index(
    served: System, post: Callable[..., Any], refused: Callable[..., Any], at: int, bad: Any, field: str
) -> None:
    submissions = [GOOD] * 10_000
    submissions[at] = bad
    answer = post(served, orjson.dumps(submissions), "/jobs/batch")
    body = refused(answer, 422, "unknown-operation" if "nope" in str(bad) else "invalid-body")
    assert [one["field"] for one in body["errors"]] == [field.format(at)]
    assert body["detail"].startswith(f"{field.format(at)}: ")


def test_the_limits_are_settings(system: System, refused: Callable[..., Any]) -> None:
    system.api(JOBPROC_MAX_BATCH_JOBS="3", JOBPROC_MAX_NUMBERS="2")
    assert system.client.post("/jobs/batch", json=[{"data": [1, 2], "operation": "cube_sum"}] * 3).status_code == 202
    refused(system.client.post("/jobs/batch", json=[{"data": [1, 2], "operation": "cube_sum"}] * 4), 422, "invalid-body")
    refused(system.client.post("/jobs/batch", json=[{"data": [1, 2, 3], "operation": "cube_sum"}]), 422, "invalid-body")
    assert system.database.one("SELECT count(*) FROM jobs") == 3
