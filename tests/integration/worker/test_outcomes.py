"""Outcomes of attempts: results, errors, retries; and progress."""

import random
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from rig.process_usage import memory_mib
from rig.system import System, until

from common.domain.job import new_job_id


def test_json_results_are_returned_unchanged(shared: System) -> None:
    for number, result in {3: None, 5: {"deep": [1, "two"]}}.items():
        job = shared.wait(shared.submit("odd_result", number))
        assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", result, 1)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["not a number", "a set", "a lone surrogate"])
def test_a_result_that_is_not_json_fails_the_job_at_once(shared: System, number: int) -> None:
    job = shared.wait(shared.submit("odd_result", number))
    assert job["status"] == "FAILED"
    assert job["error"]["type"] == "ResultNotJsonError"
    assert job["attempt"] == 1


@pytest.mark.parametrize("number", [4, 6], ids=["a NUL in a text", "an integer of 400 digits"])
def test_a_result_at_the_edge_of_json_ends_its_job_and_no_other(shared: System, number: int) -> None:
    """The result is stored unchanged or the job fails with a code. The jobs before and after it succeed."""
    before, odd, after = (shared.submit(*job) for job in (("noop", 1), ("odd_result", number), ("noop", 1, 2)))
    job = shared.wait(odd)
    assert job["status"] in {"SUCCESS", "FAILED"}
    if job["status"] == "SUCCESS":
        assert job["result"] == {4: {"nul": "\x00"}, 6: 10**400}[number]
    else:
        assert job["error"]["type"] in {"ResultNotJsonError", "result_not_stored"}
    assert [shared.wait(job_id)["result"] for job_id in (before, after)] == [1, 2]


def test_a_result_over_the_limit_fails_the_job_with_a_code(shared: System) -> None:
    """The limit is 2,000 bytes of JSON, quotes included."""
    fits, too_large = shared.submit("big_result", 1_998), shared.submit("big_result", 1_999)
    assert shared.wait(fits)["result"] == "x" * 1_998
    job = shared.wait(too_large)
    assert (job["status"], job["result"], job["attempt"]) == ("FAILED", None, 1)
    assert job["error"]["type"] == "result_too_large"
    assert "2000" in job["error"]["text"]
    assert "xxx" not in job["error"]["text"]


@pytest.mark.parametrize(
    ("kind", "error_type"), [(0, "ValueError"), (1, "Rude")], ids=["a text that cannot be stored", "no text at all"]
)
def test_an_exception_without_a_storable_text_is_a_failure_with_a_text(
    shared: System, kind: int, error_type: str
) -> None:
    job = shared.wait(shared.submit("rude_error", kind))
    assert (job["status"], job["error"]["type"]) == ("FAILED", error_type)
    assert 0 < len(job["error"]["text"]) <= 300


def test_an_exit_of_the_process_fails_the_job_and_not_the_process(shared: System) -> None:
    before = set(shared.children())
    job = shared.wait(shared.submit("exit_process", 3))
    assert (job["status"], job["error"]["type"], job["error"]["text"]) == ("FAILED", "SystemExit", "3")
    assert set(shared.children()) == before


@pytest.mark.parametrize(("number", "error_type"), [(0, "ZeroDivisionError"), (1, "PermanentFailure")])
def test_a_permanent_error_is_not_retried(shared: System, number: int, error_type: str) -> None:
    job = shared.wait(shared.submit("fail_for_good", number))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", error_type, 1)
    assert job["max_attempts"] == 5
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["failed"]


def test_an_overflow_is_a_failed_job_and_not_infinity(shared: System) -> None:
    job = shared.wait(shared.submit("square_sum", 1e200))
    assert (job["status"], job["result"], job["error"]["type"], job["attempt"]) == ("FAILED", None, "OverflowError", 1)


def test_input_that_the_operation_refuses_fails_the_job_at_once(shared: System) -> None:
    """This happens when an operation's model changes after the job was accepted."""
    job = shared.wait(_store(shared, "noop", '{"data": []}', needs="noop"))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "invalid_input", 1)


def test_a_job_of_an_unknown_operation_fails_after_its_attempts(shared: System) -> None:
    job = shared.wait(_store(shared, "gone", '{"data": [1]}', max_attempts=1))
    assert (job["status"], job["error"]["type"]) == ("FAILED", "unknown_operation")
    assert "'gone'" in job["error"]["text"]


def _store(system: System, operation: str, text: str, max_attempts: int = 3, needs: str | None = None) -> str:
    """Store a job that the API would refuse, as an older API may have stored it; the controller rings for it.

    `needs`: the operation that a process must know to claim it; None: all processes claim it, and those that cannot
    run it release it, which is an attempt more.
    """
    job_id = str(new_job_id(time.time_ns() // 1_000_000, random.getrandbits(74)))
    system.database.rows(
        """
        WITH job AS (
            INSERT INTO jobs (id, operation, queue, input, max_attempts) VALUES (%s, %s, 'default', %s, %s)
            RETURNING id, queue, max_attempts)
        INSERT INTO live (id, queue, max_attempts, claimable_at, needs)
        SELECT id, queue, max_attempts, clock_timestamp(), %s FROM job
        """,
        (job_id, operation, text, max_attempts, needs),
    )
    return job_id


def test_failures_are_retried_with_exponential_backoff_and_recorded(shared: System) -> None:
    """The delays are 0.05 s, then 0.1, 0.2, 0.2, each with jitter: between a half of it and the whole."""
    job = shared.wait(shared.submit("fail_times", 4))
    assert (job["status"], job["result"], job["attempt"], job["error"]) == ("SUCCESS", 5, 5, None)
    attempts = job["attempts"]
    assert [attempt["attempt"] for attempt in attempts] == [1, 2, 3, 4, 5]
    assert [attempt["outcome"] for attempt in attempts] == ["error", "error", "error", "error", "success"]
    assert [attempt["error"]["text"] for attempt in attempts[:4]] == [f"attempt {n} fails" for n in (1, 2, 3, 4)]
    for attempt, full in zip(attempts, (0.05, 0.1, 0.2, 0.2), strict=False):
        assert full / 2 <= _seconds(attempt["finished_at"], attempt["retry_at"]) <= full + 0.01
    for before, after in pairwise(attempts):
        assert _seconds(before["retry_at"], after["started_at"]) >= 0
    assert attempts[-1]["retry_at"] is None
    assert all(attempt["worker"] for attempt in attempts)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def test_a_job_that_always_fails_ends_after_its_last_attempt(shared: System) -> None:
    job = shared.wait(shared.submit("fail_times", 9))
    assert (job["status"], job["attempt"], job["max_attempts"]) == ("FAILED", 5, 5)
    assert (job["error"]["type"], job["error"]["text"]) == ("RuntimeError", "attempt 5 fails")
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["error"] * 4 + ["failed"]


def test_failures_take_no_memory_that_stays(shared: System) -> None:
    """An exception has a traceback, its frames, and so what the operation held."""
    unfinished = "SELECT count(*) FROM live JOIN jobs USING (id) WHERE operation = 'stumble'"

    def fail(jobs: int) -> float:
        body = {"data": [999, 1], "operation": "stumble", "max_attempts": 1}
        response = shared.client.post("/jobs/batch", json=[body] * jobs)
        assert response.status_code == 202
        until("they have ended", lambda: not shared.database.value(unfinished), 40)  # other tests leave jobs
        pids = [shared.processes["worker"].pid, *shared.children()]
        return sum(map(memory_mib, pids))

    before_mib = fail(1_000)
    assert fail(3_000) - before_mib < 12, "4 KiB a failure"


def test_a_job_between_two_attempts_is_retrying(shared: System) -> None:
    """No worker claims a retry before it is due, and the job shows the due time."""
    seen: set[str] = set()
    job_id = shared.submit("fail_times", 4)

    def has_succeeded() -> bool:
        job: dict[str, Any] = shared.job(job_id)
        seen.add(job["status"])
        if job["status"] == "RETRYING":
            assert job["due_at"] is not None
            assert job["started_at"] is None
        return bool(job["status"] == "SUCCESS")

    until("the job has succeeded", has_succeeded)
    assert "RETRYING" in seen


@pytest.mark.parametrize(("fraction", "stored"), [(0.5, 0.5), (7.5, 1.0), (-1, 0.0)])
def test_progress_is_shown_while_the_job_runs_and_not_afterwards(
    shared: System, fraction: float, stored: float
) -> None:
    go = shared.folder / "go"
    go.unlink(missing_ok=True)
    job_id = shared.submit("tell_progress", fraction)
    job = until("progress is shown", lambda: j if (j := shared.job(job_id))["progress"] else None)
    assert job["status"] == "IN_PROGRESS"
    assert job["progress"]["fraction"] == stored
    assert job["progress"]["text"].startswith("half way")
    assert "\x00" not in job["progress"]["text"]
    go.touch()
    job = shared.wait(job_id)
    assert (job["status"], job["result"], job["progress"]) == ("SUCCESS", [True], None)


def test_a_job_of_an_unserved_queue_waits(shared: System) -> None:
    job_id = shared.submit("other_queue", 1)
    shared.wait(shared.submit("noop", 1))
    assert shared.job(job_id)["status"] == "PENDING"
    assert shared.job(job_id)["queue"] == "slow"


@pytest.mark.parametrize("operation", ["allocate_and_fail", "await_and_fail"])
def test_a_failed_attempt_holds_no_memory(shared: System, operation: str) -> None:
    """A traceback that is kept would hold the frames of the attempt, and all of their objects."""
    failed = "SELECT count(*) FROM outcomes JOIN jobs USING (id) WHERE operation = %s AND error_type = 'ValueError'"

    def fail(jobs: int) -> float:
        before = shared.database.value(failed, (operation,))
        shared.submit_many(operation, [[1.0]] * jobs)
        until("each job has failed", lambda: shared.database.value(failed, (operation,)) == before + jobs)
        return sum(memory_mib(pid) for pid in shared.children())

    before = fail(100)
    assert fail(500) - before < 250, "half of what the frames of 500 attempts would hold"
