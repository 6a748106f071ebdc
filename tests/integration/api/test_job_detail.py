"""GET /jobs/{id}: what was submitted, what became of it, where to go on."""

import json
from datetime import datetime
from typing import Any

from rig.system import System

OPTIONS: dict[str, Any] = {
    "priority": 2,
    "delay": 3_600,
    "timeout": 12.5,
    "max_attempts": 7,
    "backoff": {"base": 1.5, "cap": 60},
    "tags": ["nightly", "blue"],
    "metadata": {"ticket": 12345678901234567890123, "nested": {"a": [1.0, None]}},
    "keep": 86_400,
}


def submit(system: System, **more: Any) -> str:
    answer = system.client.post("/jobs/", json={"data": [1, 2, 3], "operation": "square_sum", **more})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def test_everything_that_was_asked_for_is_told(system: System) -> None:
    system.api()
    sent = OPTIONS | {"deadline": _soon(system)}
    job = system.job(submit(system, **sent))
    assert {name: job[name] for name in ("priority", "tags", "metadata", "max_attempts", "backoff")} == {
        name: sent[name] for name in ("priority", "tags", "metadata", "max_attempts", "backoff")
    }
    assert (job["timeout_seconds"], job["keep_seconds"], job["version"]) == (12.5, 86_400, 1)
    assert job["deadline"] == sent["deadline"]
    assert job["run_at"] == job["due_at"]
    assert (datetime.fromisoformat(job["run_at"]) - datetime.fromisoformat(job["created_at"])).total_seconds() > 3_599
    assert [(one["status"], one["epoch"]) for one in job["timeline"]] == [("SCHEDULED", 0)]
    assert job["status"] == "SCHEDULED"


def _soon(system: System) -> str:
    return str(system.database.one("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '10 days', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"))


def test_what_was_not_asked_for_is_null(system: System) -> None:
    system.api()
    job = system.job(submit(system))
    assert [job[name] for name in ("run_at", "deadline", "backoff", "keep_seconds", "unique", "metadata", "worker", "progress")] == [None] * 8
    assert (job["tags"], job["reruns"], job["cancel_requested"], job["epoch"]) == ([], [], False, 0)
    assert [one["status"] for one in job["timeline"]] == ["PENDING"]


def test_its_states_and_attempts_are_told_with_what_they_took(system: System) -> None:
    system.all()
    job = system.wait(system.submit("fail_times", 2))
    assert [one["outcome"] for one in job["attempts"]] == ["error", "error", "success"]
    told = [one["status"] for one in job["timeline"]]
    assert [one for one in told if one != "PENDING"] == ["IN_PROGRESS", "RETRYING", "IN_PROGRESS", "RETRYING", "IN_PROGRESS", "SUCCESS"]
    times = [datetime.fromisoformat(one["at"]) for one in job["timeline"]]
    assert times == sorted(times)
    assert [one["attempt"] for one in job["timeline"] if one["status"] == "IN_PROGRESS"] == [one["attempt"] for one in job["attempts"]]
    for one in job["attempts"]:
        took = one["took"]
        whole_s = (datetime.fromisoformat(one["ended_at"]) - datetime.fromisoformat(one["started_at"])).total_seconds()
        assert 0 <= took["run_seconds"] <= whole_s + 0.001
        assert abs(took["run_seconds"] + took["overhead_seconds"] - whole_s) < 0.001
        assert took["cpu_seconds"] >= 0
        assert took["peak_mebibytes"] > 1
    failed = [one for one in job["timeline"] if one["error"] is not None]
    assert [one["error"] for one in failed] == [one["error"] for one in job["attempts"] if one["error"] is not None]


def test_an_explicit_retry_is_told_with_the_input_that_it_brought(system: System) -> None:
    system.all()
    job_id = system.submit("fail_for_good", 1)
    system.wait(job_id)
    system.database.rows(
        """WITH again AS (INSERT INTO reruns (id, epoch, input) SELECT id, 1, '{"data": [2.50]}' FROM outcomes)
           INSERT INTO live (id, pos, rev, attempt, max_attempts, epoch, queue, needs)
           SELECT id, now(), rev + 1, attempt, attempt + 1, 1, 'default', 'fail_for_good' FROM outcomes"""
    )
    job = system.wait(job_id)
    assert [(one["epoch"], one["status"]) for one in job["timeline"]] == [(epoch, one) for epoch in (0, 1) for one in ("PENDING", "IN_PROGRESS", "FAILED")]
    assert [(one["epoch"], one["input"]) for one in job["reruns"]] == [(1, {"data": [2.5]})]
    assert job["input"] == {"data": [1.0]}
    assert [one["epoch"] for one in job["attempts"]] == [0, 1]


def test_what_is_held_is_told(system: System) -> None:
    """Its key, and that it was asked to stop, as others write them down."""
    system.api()
    job_id = submit(system)
    system.database.rows("UPDATE jobs SET unique_key = 'a', unique_while = 'both'")
    system.database.rows("UPDATE live SET worker = 7, attempt = 1, started_at = now(), cancel = true, rev = rev + 1")
    job = system.job(job_id)
    assert job["unique"] == {"key": "a", "while": "both"}
    assert (job["worker"], job["cancel_requested"], job["status"]) == (7, True, "IN_PROGRESS")
    assert job["timeline"][-1] | {"at": None} == {"at": None, "status": "IN_PROGRESS", "epoch": 0, "attempt": 1, "worker": 7, "error": None}


def test_its_links_lead_on(system: System) -> None:
    system.api()
    job_id = submit(system)
    links = system.job(job_id)["links"]
    assert links == {"self": f"/jobs/{job_id}", **{name: f"/jobs/{job_id}/{name}" for name in ("status", "result", "cancel", "retry", "events", "explain")}}
    assert [system.client.get(links[name]).status_code for name in ("self", "status", "result")] == [200] * 3


def test_only_the_last_of_many_attempts_are_told(system: System) -> None:
    system.api()
    job_id = submit(system)
    system.database.rows(
        """INSERT INTO attempts (id, epoch, attempt, worker, started_at, ended_at, retry_at, ended, error_type, error_text)
           SELECT id, 0, n, 1, created_at + n * interval '1 s', created_at + n * interval '1 s', created_at + n * interval '1 s', 'error', 'x', 'y'
           FROM jobs, generate_series(1, 150) n"""
    )
    job = system.job(job_id)
    assert [one["attempt"] for one in job["attempts"]] == list(range(51, 151))
    assert len(job["timeline"]) == 201
    assert json.dumps(job["timeline"]).count('"IN_PROGRESS"') == 100
