"""POST /jobs/batch: many submissions in a single transaction, with ids in their order."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest
from rig.system import System

GOOD = {"data": [1, 2, 3], "operation": "square_sum"}


def test_a_batch_is_stored_in_one_transaction_with_ids_in_the_order_of_its_submissions(system: System) -> None:
    system.api()
    response = system.client.post(
        "/jobs/batch", json=[{"data": [n], "operation": ("square_sum", "cube_sum")[n % 2]} for n in range(1_000)]
    )
    assert response.status_code == 202
    body = response.json()
    assert set(body) == {"job_ids", "status", "batch_id"}
    assert body["status"] == "PENDING"
    assert {uuid.UUID(job_id).version for job_id in body["job_ids"]} == {7}
    stored = {str(row[0]): row[1:] for row in system.database.rows("SELECT id, operation, input FROM jobs")}
    assert [stored[job_id] for job_id in body["job_ids"]] == [
        (("square_sum", "cube_sum")[n % 2], {"data": [n]}) for n in range(1_000)
    ]
    assert system.database.value("SELECT count(DISTINCT xmin::text) FROM jobs") == 1
    assert system.database.value("SELECT count(*) FROM live") == 1_000


def test_a_batch_of_ten_thousand_jobs_is_accepted_and_run(system: System) -> None:
    """The maximum of a batch. Its doorbell wakes the worker."""
    system.api().worker()
    job_ids = system.submit_many("square_sum", [[float(n)] for n in range(10_000)])
    assert len(set(job_ids)) == 10_000
    system.wait_all()
    results = dict(system.database.rows("SELECT id::text, result::text FROM outcomes WHERE status = 'SUCCESS'"))
    assert [float(results[job_id]) for job_id in job_ids] == [n * n for n in range(10_000)]


@pytest.mark.parametrize(
    "raw",
    [b"{}", b"[]", b"null", b"1", b'"[]"', orjson.dumps(GOOD), b"[" + b",".join([orjson.dumps(GOOD)] * 10_001) + b"]"],
    ids=["object", "empty", "null", "number", "text", "a lone submission", "10001 submissions"],
)
def test_a_body_other_than_1_to_10000_submissions_is_refused(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], raw: bytes
) -> None:
    body = assert_problem(post(read_only_system, raw, "/jobs/batch"), 422, "invalid-body")
    assert [error["field"] for error in body["errors"]] == [""], "the whole body"
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
        ({"input": {"data": [0] * 10_001}, "operation": "cube_sum"}, "{}.input.data"),
        (7, "{}"),
        (None, "{}"),
    ],
)
def test_an_invalid_submission_refuses_the_whole_batch_and_is_named_by_its_index(
    read_only_system: System,
    post: Callable[..., Any],
    assert_problem: Callable[..., Any],
    at: int,
    bad: Any,
    field: str,
) -> None:
    submissions = [GOOD] * 10_000
    submissions[at] = bad
    response = post(read_only_system, orjson.dumps(submissions), "/jobs/batch")
    body = assert_problem(response, 422, "unknown-operation" if "nope" in str(bad) else "invalid-body")
    assert [error["field"] for error in body["errors"]] == [field.format(at)]
    assert body["detail"].startswith(f"{field.format(at)}: ")


def keyed(key: str, on_conflict: str = "reject", held_while: str = "both") -> dict[str, Any]:
    return GOOD | {"unique": {"key": key, "on_conflict": on_conflict, "while": held_while}}


@pytest.mark.parametrize("on_conflict", ["reject", "replace"])
def test_a_batch_with_a_unique_key_twice_is_refused_and_each_repetition_is_named(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any], on_conflict: str
) -> None:
    repeated = [
        GOOD,
        keyed("a", on_conflict),
        keyed("b", on_conflict),
        keyed("a", on_conflict),
        keyed("a", on_conflict, "waiting"),
    ]
    body = assert_problem(post(read_only_system, orjson.dumps(repeated), "/jobs/batch"), 422, "invalid-body")
    reason = "is also the key of 1"
    assert body["errors"] == [{"field": f"{index}.unique.key", "reason": reason} for index in (3, 4)]
    assert body["detail"] == f"3.unique.key: {reason} (and 1 more)"


def test_a_thousand_jobs_with_one_unique_key_are_refused_with_a_short_answer(
    read_only_system: System, post: Callable[..., Any], assert_problem: Callable[..., Any]
) -> None:
    response = post(read_only_system, orjson.dumps([keyed("a")] * 1_000), "/jobs/batch")
    body = assert_problem(response, 422, "invalid-body")
    assert [error["field"] for error in body["errors"]] == [f"{index}.unique.key" for index in range(1, 21)]
    assert body["detail"].endswith("(and 998 more)")


def test_a_repeated_unique_key_is_accepted_where_the_existing_job_is_to_be_returned_or_jobs_take_turns(
    system: System,
) -> None:
    system.api()
    batch = [keyed("a", "replace"), keyed("a", "return"), *[keyed("b", held_while="running")] * 2]
    for _ in range(2):  # the second time, the job of the first batch is replaced
        response = system.client.post("/jobs/batch", json=batch)
        assert response.status_code == 202, response.text
        first, returned, *in_turn = response.json()["job_ids"]
        assert returned == first
        assert len({first, *in_turn}) == 3
        assert all(system.status(job_id) == "PENDING" for job_id in (first, *in_turn))


def test_the_limits_of_a_batch_are_settings(system: System, assert_problem: Callable[..., Any]) -> None:
    system.api(JOBPROC_MAX_BATCH_JOBS="3", JOBPROC_MAX_NUMBERS="2")
    assert system.client.post("/jobs/batch", json=[{"data": [1, 2], "operation": "cube_sum"}] * 3).status_code == 202
    assert_problem(
        system.client.post("/jobs/batch", json=[{"data": [1, 2], "operation": "cube_sum"}] * 4), 422, "invalid-body"
    )
    for numbers in ({"data": [1, 2, 3]}, {"input": {"data": [1, 2, 3]}}):
        job = numbers | {"operation": "cube_sum"}
        for path, body in (("/jobs/batch", [job]), ("/jobs/", job)):
            refused = assert_problem(system.client.post(path, json=body), 422, "invalid-body")
            assert refused["errors"][0]["reason"] == "has 3 numbers, more than 2"
    assert system.database.value("SELECT count(*) FROM jobs") == 3


def test_forty_batches_of_ten_thousand_unique_keys_at_once_are_stored_whole_or_refused_with_a_retry(
    system: System,
) -> None:
    """They wait in the API, two of them are stored at a time, and other requests are served meanwhile."""
    system.api(JOBPROC_LARGE_BODY_WAIT_SECONDS="3")

    def submit(number: int) -> httpx.Response:
        jobs = [GOOD | {"unique": {"key": f"{number}-{key}"}} for key in range(10_000)]
        return httpx.post(f"{system.client.base_url}/jobs/batch", json=jobs, timeout=60)

    with ThreadPoolExecutor(40) as clients:
        responses = [clients.submit(submit, number) for number in range(40)]
        while not all(response.done() for response in responses):
            assert system.client.get("/livez").status_code == 200
    statuses = [response.result().status_code for response in responses]
    assert set(statuses) <= {202, 503}
    assert statuses.count(202) >= 2
    assert all("Retry-After" in response.result().headers for response in responses if response.result().is_error)
    assert system.database.value("SELECT count(*) FROM live") == 10_000 * statuses.count(202)
    assert system.client.post("/jobs/", json=GOOD).status_code == 202
