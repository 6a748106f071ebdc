"""What a submission may ask for: its order, its time, its limits, its input."""

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
    answer = post(system, **body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def error(job: dict[str, Any]) -> str | None:
    return None if job["error"] is None else str(job["error"]["type"])


def test_priorities_are_exact_across_the_queue(system: System) -> None:
    """Ten of each, submitted from the last to the first and mixed: they begin from 0 to 9, and those of one priority as they came."""
    system.api().worker(concurrency=1)
    places = [(9 - n % 10, n) for n in range(40)]
    answer = system.client.post("/jobs/batch", json=[{"operation": "effect", "data": [0, n], "priority": priority} for priority, n in places])
    ids = dict(zip(answer.json()["job_ids"], places, strict=True))
    system.wait_all()
    begun = [ids[line["job"]] for line in system.effects() if line["job"] in ids and line["phase"] == "begin"]
    assert begun == sorted(ids.values())


def test_a_job_with_a_delay_waits_scheduled_and_then_runs(shared: System) -> None:
    before = time.monotonic()
    answer = post(shared, delay=1.0)
    assert answer.json()["status"] == "SCHEDULED"
    job_id = answer.json()["job_id"]
    assert shared.status(job_id) == "SCHEDULED"
    job = shared.wait(job_id)
    assert 1.0 <= time.monotonic() - before < 3
    assert (job["result"], job["attempt"]) == (14.0, 1)


def test_run_at_is_a_moment_with_an_offset(shared: System) -> None:
    moment = datetime.now(UTC) + timedelta(seconds=0.8)
    job = shared.wait(submitted(shared, run_at=moment.isoformat()))
    assert datetime.fromisoformat(job["started_at"]) >= moment
    past = submitted(shared, run_at="2020-02-29T12:00:00+05:30")
    assert shared.wait(past)["status"] == "SUCCESS"


def test_a_job_that_never_starts_fails_at_its_deadline(system: System) -> None:
    system.api().controller()
    deadline = datetime.now(UTC) + timedelta(seconds=0.7)
    job_id, other = submitted(system, deadline=deadline.isoformat()), submitted(system)
    job = system.wait(job_id)
    assert (job["status"], error(job), job["attempt"], job["attempts"]) == ("FAILED", "deadline_exceeded", 0, [])
    assert datetime.fromisoformat(job["finished_at"]) >= deadline
    assert system.status(other) == "PENDING"
    assert system.database.one("SELECT count(*) FROM deadlines") == 0


def test_an_attempt_is_ended_at_the_deadline_and_none_follows(shared: System) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    job = shared.wait(submitted(shared, operation="sleep", data=[60], deadline=deadline.isoformat()))
    assert (job["status"], error(job), job["attempt"]) == ("FAILED", "deadline_exceeded", 1)
    assert datetime.fromisoformat(job["finished_at"]) - deadline < timedelta(seconds=3)


def test_a_job_that_ends_in_time_leaves_no_deadline_behind(shared: System) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=1)
    job_id = submitted(shared, deadline=deadline.isoformat())
    assert shared.wait(job_id)["status"] == "SUCCESS"
    until("it is forgotten", lambda: not shared.database.one("SELECT count(*) FROM deadlines WHERE id = %s", (job_id,)))
    assert shared.status(job_id) == "SUCCESS"


def test_the_limit_of_an_attempt_is_the_jobs_own(shared: System) -> None:
    job = shared.wait(submitted(shared, operation="sleep", data=[60], timeout=0.3, max_attempts=2))
    assert (job["status"], error(job), job["attempt"]) == ("FAILED", "timeout", 2)
    assert job["timeout_seconds"] == 0.3


def test_attempts_and_backoff_are_the_jobs_own(shared: System) -> None:
    job = shared.wait(submitted(shared, operation="fail_times", data=[9], max_attempts=2, backoff={"base": 1.0, "cap": 1.0}))
    assert (job["status"], job["attempt"]) == ("FAILED", 2)
    first, second = job["attempts"]
    paused = datetime.fromisoformat(second["started_at"]) - datetime.fromisoformat(first["ended_at"])
    assert paused >= timedelta(seconds=0.5)  # between a half and all of a second; the operation's own is 0.05


def test_an_operation_may_say_when_it_is_tried_again(shared: System) -> None:
    job = shared.wait(submitted(shared, operation="later", data=[1.2]))
    assert (job["status"], job["result"]) == ("SUCCESS", 2)
    first, second = job["attempts"]
    assert first["error"] == {"type": "RetryAfter", "text": "come back"}
    assert datetime.fromisoformat(second["started_at"]) - datetime.fromisoformat(first["ended_at"]) >= timedelta(seconds=1.19)


def test_an_operation_may_take_other_input_than_numbers(shared: System) -> None:
    answer = shared.client.post("/jobs/", json={"operation": "greet", "input": {"name": "Ada", "times": 2}})
    assert answer.status_code == 202
    job = shared.wait(answer.json()["job_id"])
    assert (job["result"], job["input"]) == ("hello Ada hello Ada", {"name": "Ada", "times": 2})
    job = shared.wait(shared.client.post("/jobs/", json={"operation": "cube_sum", "input": {"data": [1, 2]}}).json()["job_id"])
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
        (DATA | {"delay": -1}, "delay"),
        (DATA | {"delay": 1, "run_at": "2030-01-01T00:00:00Z"}, "delay"),
        (DATA | {"delay": 1e9}, "delay"),
        (DATA | {"run_at": "2030-01-01T00:00:00"}, "run_at"),
        (DATA | {"run_at": "9999-01-01T00:00:00Z"}, "run_at"),
        (DATA | {"run_at": "soon"}, "run_at"),
        (DATA | {"run_at": 0}, "run_at"),
        (DATA | {"deadline": 4e9}, "deadline"),
        (DATA | {"deadline": "2020-01-01T00:00:00Z"}, "deadline"),
        (DATA | {"delay": 20, "deadline": (datetime.now(UTC) + timedelta(seconds=10)).isoformat()}, "deadline"),
        (DATA | {"timeout": 0}, "timeout"),
        (DATA | {"timeout": 86_401}, "timeout"),
        (DATA | {"max_attempts": 101}, "max_attempts"),
        (DATA | {"max_attempts": 0}, "max_attempts"),
        (DATA | {"backoff": {"base": 1}}, "backoff.cap"),
        (DATA | {"backoff": {"base": -1, "cap": 1}}, "backoff.base"),
        (DATA | {"tags": ["x"] * 21}, "tags"),
        (DATA | {"tags": ["x" * 65]}, "tags.0"),
        (DATA | {"tags": "x"}, "tags"),
        (DATA | {"metadata": {"a": "x" * 5_000}}, "metadata"),
        (DATA | {"metadata": []}, "metadata"),
        (DATA | {"keep": 0}, "keep"),
        (DATA | {"keep": 10**9}, "keep"),
        (DATA | {"unique": {"key": "a b"}}, "unique.key"),
        (DATA | {"unique": {"key": "a", "while": "ever"}}, "unique.while"),
    ],
)
def test_what_breaks_a_rule_is_refused_by_name_and_not_stored(shared: System, body: dict[str, Any], field: str) -> None:
    before = shared.database.one("SELECT count(*) FROM jobs")
    for path, sent, at in (("/jobs/", body, field), ("/jobs/batch", [DATA, body], f"1.{field}".rstrip("."))):
        answer = shared.client.post(path, json=sent)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == at, answer.text
    assert shared.database.one("SELECT count(*) FROM jobs") == before


def test_a_number_that_is_not_finite_is_refused_in_any_input(shared: System) -> None:
    for raw in ('{"operation":"greet","input":{"name":"Ada","times":NaN}}', '{"operation":"square_sum","data":[1],"metadata":{"x":1e999}}'):
        answer = shared.client.post("/jobs/", content=raw, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, answer.text


def test_what_an_attempt_took_is_kept(shared: System) -> None:
    job_id = submitted(shared, operation="burn", data=[0.3, 64])
    assert shared.wait(job_id)["status"] == "SUCCESS"
    run_s, cpu_s, peak_mib = shared.database.rows("SELECT run_s, cpu_s, peak_mib FROM outcomes WHERE id = %s", (job_id,))[0]
    assert 0.3 <= cpu_s <= run_s * 1.05 + 0.1
    assert 64 < peak_mib < 1_000
    failed = submitted(shared, operation="fail_times", data=[1])
    assert shared.wait(failed)["status"] == "SUCCESS"
    run_s, cpu_s, peak_mib = shared.database.rows("SELECT run_s, cpu_s, peak_mib FROM attempts WHERE id = %s", (failed,))[0]
    assert 0 <= run_s < 1 and cpu_s >= 0 and peak_mib > 1
