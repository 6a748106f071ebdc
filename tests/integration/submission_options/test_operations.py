"""GET /operations: input schema, defaults, workers and recent resource usage of each operation."""

from typing import Any

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
