"""GET /operations: how to call each, who runs it, what it took lately."""

from typing import Any

from jobproc_control_operations import Greeting
from rig.system import System, until


def listed(system: System) -> dict[str, dict[str, Any]]:
    answer = system.client.get("/operations")
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["operations"]}


def test_each_operation_says_how_it_is_called_and_what_it_does_by_default(shared: System) -> None:
    greet, marked = listed(shared)["greet"], listed(shared)["marked"]
    assert greet["input_schema"] == Greeting.model_json_schema()
    assert greet["defaults"] == {"max_attempts": 1, "backoff_base": 0.05, "backoff_cap": 0.2, "timeout": 300.0}
    assert (greet["description"], greet["queue"], greet["version"], greet["workers_alive"]) == ("Say hello.", "default", 1, 2)
    assert (marked["version"], marked["oldest_version"], marked["workers_alive"]) == (2, 1, 2)
    assert listed(shared)["other_queue"]["workers_alive"] == 0


def test_what_its_jobs_took_is_told_by_percentiles(shared: System) -> None:
    assert listed(shared)["burn"]["recent"] is None
    for _ in range(3):
        answer = shared.client.post("/jobs/", json={"operation": "burn", "data": [0.1, 32]})
        shared.wait(answer.json()["job_id"])
    recent = until("they are seen", lambda: listed(shared)["burn"]["recent"], limit_s=15)
    assert 1 <= recent["jobs"] <= 3
    for what in ("run_s", "cpu_s", "peak_mib"):
        assert recent[what]["p50"] <= recent[what]["p95"] <= recent[what]["p99"]
    assert recent["cpu_s"]["p50"] >= 0.1 and recent["peak_mib"]["p50"] > 32
