"""Options of a submission: priority, due time, limits, input."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from rig.system import System, until

DATA = {"data": [1, 2, 3], "operation": "square_sum"}


def post(system: System, **body: Any) -> httpx.Response:
    return system.client.post("/jobs/", json=DATA | body)


def submitted(system: System, **body: Any) -> str:
    response = post(system, **body)
    assert response.status_code == 202, response.text
    return str(response.json()["job_id"])


def error_type(job: dict[str, Any]) -> str | None:
    return None if job["error"] is None else str(job["error"]["type"])


def test_jobs_start_in_exact_order_of_priority(system: System) -> None:
    """Submitted mixed, jobs start by priority from 0 to 9, and in order of submission within a priority."""
    system.api().worker(concurrency=1)
    submissions = [(9 - n % 10, n) for n in range(40)]
    response = system.client.post(
        "/jobs/batch",
        json=[{"operation": "effect", "data": [0, n], "priority": priority} for priority, n in submissions],
    )
    ids = dict(zip(response.json()["job_ids"], submissions, strict=True))
    system.wait_all()
    started = [ids[line["job"]] for line in system.effects() if line["job"] in ids and line["phase"] == "begin"]
    assert started == sorted(ids.values())


def test_a_delayed_job_is_scheduled_and_then_runs(shared: System) -> None:
    before = time.monotonic()
    response = post(shared, delay_seconds=1.0)
    assert response.json()["status"] == "SCHEDULED"
    job_id = response.json()["job_id"]
    assert shared.status(job_id) == "SCHEDULED"
    job = shared.wait(job_id)
    assert 1.0 <= time.monotonic() - before < 3
    assert (job["result"], job["attempt"]) == (14.0, 1)


def test_run_at_is_a_timestamp_with_an_offset(shared: System) -> None:
    run_at = datetime.now(UTC) + timedelta(seconds=0.8)
    job = shared.wait(submitted(shared, run_at=run_at.isoformat()))
    assert datetime.fromisoformat(job["started_at"]) >= run_at
    past = submitted(shared, run_at="2020-02-29T12:00:00+05:30")
    assert shared.wait(past)["status"] == "SUCCESS"


def test_a_job_that_never_starts_fails_at_its_deadline(system: System) -> None:
    system.api().controller()
    deadline = datetime.now(UTC) + timedelta(seconds=0.7)
    job_id, other = submitted(system, deadline=deadline.isoformat()), submitted(system)
    job = system.wait(job_id)
    assert (job["status"], error_type(job), job["attempt"], job["attempts"]) == ("FAILED", "deadline_exceeded", 0, [])
    assert datetime.fromisoformat(job["finished_at"]) >= deadline
    assert system.status(other) == "PENDING"
    assert system.database.value("SELECT count(*) FROM deadlines") == 0


def test_an_attempt_is_ended_at_the_deadline_and_none_follows(shared: System) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    job = shared.wait(submitted(shared, operation="sleep", data=[60], deadline=deadline.isoformat()))
    assert (job["status"], error_type(job), job["attempt"]) == ("FAILED", "deadline_exceeded", 1)
    assert datetime.fromisoformat(job["finished_at"]) - deadline < timedelta(seconds=3)


def test_a_job_that_ends_in_time_leaves_no_deadline_behind(shared: System) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    job_id = submitted(shared, deadline=deadline.isoformat())
    assert shared.wait(job_id)["status"] == "SUCCESS"
    until(
        "the deadline is deleted",
        lambda: not shared.database.value("SELECT count(*) FROM deadlines WHERE id = %s", (job_id,)),
    )
    assert shared.status(job_id) == "SUCCESS"


def test_a_job_has_its_own_timeout(shared: System) -> None:
    job = shared.wait(submitted(shared, operation="sleep", data=[60], timeout_seconds=0.3, max_attempts=2))
    assert (job["status"], error_type(job), job["attempt"]) == ("FAILED", "timeout", 2)
    assert job["timeout_seconds"] == 0.3


def test_a_job_has_its_own_number_of_attempts_and_backoff(shared: System) -> None:
    job = shared.wait(
        submitted(
            shared, operation="fail_times", data=[9], max_attempts=2, backoff={"base_seconds": 1.0, "cap_seconds": 1.0}
        )
    )
    assert (job["status"], job["attempt"]) == ("FAILED", 2)
    first, second = job["attempts"]
    pause = datetime.fromisoformat(second["started_at"]) - datetime.fromisoformat(first["finished_at"])
    assert pause >= timedelta(seconds=0.5)  # half a second to a second; the operation's own backoff is 0.05 s


def test_an_operation_may_set_the_time_of_its_retry(shared: System) -> None:
    job = shared.wait(submitted(shared, operation="later", data=[1.2]))
    assert (job["status"], job["result"]) == ("SUCCESS", 2)
    first, second = job["attempts"]
    assert (first["error"]["type"], first["error"]["text"]) == ("RetryAfter", "come back")
    assert datetime.fromisoformat(second["started_at"]) - datetime.fromisoformat(first["finished_at"]) >= timedelta(
        seconds=1.19
    )


def test_an_operation_may_take_other_input_than_numbers(shared: System) -> None:
    response = shared.client.post("/jobs/", json={"operation": "greet", "input": {"name": "Ada", "times": 2}})
    assert response.status_code == 202
    job = shared.wait(response.json()["job_id"])
    assert (job["result"], job["input"]) == ("hello Ada hello Ada", {"name": "Ada", "times": 2})
    job = shared.wait(
        shared.client.post("/jobs/", json={"operation": "cube_sum", "input": {"data": [1, 2]}}).json()["job_id"]
    )
    assert job["result"] == 9


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": {"nick": "Ada"}, "operation": "greet"}, "input"),
        ({"input": {"name": 5}, "operation": "greet"}, "input.name"),
        ({"input": {"name": "Ada", "times": "two"}, "operation": "greet"}, "input.times"),
        ({"input": [1], "operation": "greet"}, "input"),
        ({"data": [1], "operation": "greet"}, ""),
        ({"input": {"data": []}, "operation": "square_sum"}, "input.data"),
        (DATA | {"input": {}}, "data"),
        (DATA | {"priority": 10}, "priority"),
        (DATA | {"priority": "5"}, "priority"),
        (DATA | {"delay_seconds": -1}, "delay_seconds"),
        (DATA | {"delay_seconds": 1, "run_at": "2030-01-01T00:00:00Z"}, "delay_seconds"),
        (DATA | {"delay_seconds": 1e9}, "delay_seconds"),
        (DATA | {"run_at": "2030-01-01T00:00:00"}, "run_at"),
        (DATA | {"run_at": "9999-01-01T00:00:00Z"}, "run_at"),
        (DATA | {"run_at": "soon"}, "run_at"),
        (DATA | {"run_at": 0}, "run_at"),
        (DATA | {"deadline": 4e9}, "deadline"),
        (DATA | {"deadline": "2020-01-01T00:00:00Z"}, "deadline"),
        (DATA | {"delay_seconds": 20, "deadline": (datetime.now(UTC) + timedelta(seconds=10)).isoformat()}, "deadline"),
        (DATA | {"timeout_seconds": 0}, "timeout_seconds"),
        (DATA | {"timeout_seconds": 86_401}, "timeout_seconds"),
        (DATA | {"max_attempts": 101}, "max_attempts"),
        (DATA | {"max_attempts": 0}, "max_attempts"),
        (DATA | {"backoff": {"base_seconds": 1}}, "backoff.cap_seconds"),
        (DATA | {"backoff": {"base_seconds": -1, "cap_seconds": 1}}, "backoff.base_seconds"),
        (DATA | {"tags": ["x"] * 21}, "tags"),
        (DATA | {"tags": ["x" * 65]}, "tags.0"),
        (DATA | {"tags": "x"}, "tags"),
        (DATA | {"metadata": {"a": "x" * 5_000}}, "metadata"),
        (DATA | {"metadata": []}, "metadata"),
        (DATA | {"keep_seconds": 0}, "keep_seconds"),
        (DATA | {"keep_seconds": 10**9}, "keep_seconds"),
        (DATA | {"unique": {"key": "a b"}}, "unique.key"),
        (DATA | {"unique": {"key": "a", "while": "ever"}}, "unique.while"),
    ],
)
def test_an_option_that_breaks_a_rule_is_refused_by_name_and_not_stored(
    shared: System, body: dict[str, Any], field: str
) -> None:
    jobs_before = shared.database.value("SELECT count(*) FROM jobs")
    for path, request_body, error_field in (
        ("/jobs/", body, field),
        ("/jobs/batch", [DATA, body], f"1.{field}".rstrip(".")),
    ):
        response = shared.client.post(path, json=request_body)
        assert response.status_code == 422, response.text
        assert response.json()["errors"][0]["field"] == error_field, response.text
    assert shared.database.value("SELECT count(*) FROM jobs") == jobs_before


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ({"delay_seconds": 31_536_001}, "is more than 31536000 seconds"),
        ({"keep_seconds": 7_776_001}, "is more than 7776000 seconds"),
        ({"timeout_seconds": 86_400.5}, "is more than 86400 seconds"),
    ],
)
def test_a_sentence_has_all_digits_of_its_limit(shared: System, option: dict[str, Any], sentence: str) -> None:
    response = shared.client.post("/jobs/", json=DATA | option)
    assert response.json()["errors"][0]["reason"] == sentence


def test_a_number_that_is_not_finite_is_refused_in_any_input(shared: System) -> None:
    for raw in (
        '{"operation":"greet","input":{"name":"Ada","times":NaN}}',
        '{"operation":"square_sum","data":[1],"metadata":{"x":1e999}}',
    ):
        response = shared.client.post("/jobs/", content=raw, headers={"Content-Type": "application/json"})
        assert response.status_code == 422, response.text


def test_the_resource_usage_of_an_attempt_is_stored(shared: System) -> None:
    job_id = submitted(shared, operation="burn", data=[0.3, 64])
    assert shared.wait(job_id)["status"] == "SUCCESS"
    execution_s, cpu_s, peak_mib = shared.database.rows(
        "SELECT execution_s, cpu_s, peak_mib FROM outcomes WHERE id = %s", (job_id,)
    )[0]
    assert 0.3 <= cpu_s <= execution_s * 1.05 + 0.1
    assert 64 < peak_mib < 1_000
    failed = submitted(shared, operation="fail_times", data=[1])
    assert shared.wait(failed)["status"] == "SUCCESS"
    execution_s, cpu_s, peak_mib = shared.database.rows(
        "SELECT execution_s, cpu_s, peak_mib FROM attempts WHERE id = %s", (failed,)
    )[0]
    assert 0 <= execution_s < 1 and cpu_s >= 0 and peak_mib > 1
