"""GET /operations: input schema, defaults, workers and recent resource usage of each operation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from jobproc_control_operations import Greeting
from rig.system import System, until


def listed(system: System) -> dict[str, dict[str, Any]]:
    response = system.client.get("/operations")
    assert response.status_code == 200, response.text
    return {operation["name"]: operation for operation in response.json()["operations"]}


def test_each_operation_has_its_input_schema_defaults_and_workers(shared: System) -> None:
    greet, marked = listed(shared)["greet"], listed(shared)["marked"]
    assert greet["input_schema"] == Greeting.model_json_schema()
    assert greet["defaults"] == {
        "max_attempts": 1,
        "backoff": {"base_seconds": 0.05, "cap_seconds": 0.2},
        "timeout_seconds": 300.0,
    }
    assert (greet["description"], greet["queue"], greet["version"], greet["workers_alive"]) == (
        "Say hello.",
        "default",
        1,
        2,
    )
    assert (marked["version"], marked["oldest_version"], marked["workers_alive"]) == (2, 1, 2)
    assert listed(shared)["other_queue"]["workers_alive"] == 0
    age = datetime.now(UTC) - datetime.fromisoformat(greet["seen_at"])
    assert timedelta() <= age < timedelta(minutes=11)


def test_recent_resource_usage_is_shown_as_percentiles(shared: System) -> None:
    assert listed(shared)["burn"]["recent"] is None
    for _ in range(3):
        response = shared.client.post("/jobs/", json={"operation": "burn", "data": [0.1, 32]})
        shared.wait(response.json()["job_id"])
    recent = until("the jobs are counted", lambda: listed(shared)["burn"]["recent"], limit_s=15)
    assert 1 <= recent["jobs"] <= 3
    for measure in ("execution_seconds", "cpu_seconds", "peak_memory_mebibytes"):
        assert recent[measure]["p50"] <= recent[measure]["p95"] <= recent[measure]["p99"]
    assert recent["cpu_seconds"]["p50"] >= 0.1 and recent["peak_memory_mebibytes"]["p50"] > 32


def run(system: System, operation: str, value: Any) -> dict[str, Any]:
    """Submit a job with an input and wait for its end."""
    response = system.client.post("/jobs/", json={"operation": operation, "input": value})
    assert response.status_code == 202, response.text
    return system.wait(response.json()["job_id"])


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"day": "2026-13-45"}, "input.day"),
        ({"day": "2026-01-13", "begins_at": "at ten"}, "input.begins_at"),
        ({"day": "2026-01-13", "room": "12345678"}, "input.room"),
    ],
)
def test_a_text_of_the_wrong_format_is_refused_at_submission(shared: System, value: Any, field: str) -> None:
    response = shared.client.post("/jobs/", json={"operation": "meet", "input": value})
    assert (response.status_code, [error["field"] for error in response.json()["errors"]]) == (422, [field])


def test_a_text_is_taken_as_the_model_takes_it(shared: System) -> None:
    """Strict readers of JSON Schema refuse a time without an offset, and a UUID without dashes."""
    value = {"day": "2026-01-13", "begins_at": "2026-01-13 10:00", "room": "0123456789abcdef0123456789abcdef"}
    job = run(shared, "meet", value)
    assert (job["status"], job["result"]) == ("SUCCESS", "2026-01-13")


def test_the_constraints_of_a_parameter_are_published_and_checked(shared: System) -> None:
    depth = listed(shared)["nest"]["input_schema"]["properties"]["depth"]
    assert depth == {"type": "integer", "minimum": 1, "maximum": 1_000_000, "title": "Depth"}
    response = shared.client.post("/jobs/", json={"operation": "nest", "input": {"depth": 0}})
    assert (response.status_code, response.json()["errors"][0]["field"]) == (422, "input.depth")


def test_a_deep_result_is_stored_and_shown_or_refused(shared: System) -> None:
    job = run(shared, "nest", {"depth": 900})
    assert (job["status"], str(job["result"]).count("[")) == ("SUCCESS", 900)
    job = run(shared, "nest", {"depth": 100_000})
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "ResultNotJsonError", 1)


def test_a_result_with_a_name_twice_is_refused(shared: System) -> None:
    job = run(shared, "name_twice", {"data": [1, 2]})
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "ResultNotJsonError", 1)
    assert "the same name" in job["error"]["text"]
