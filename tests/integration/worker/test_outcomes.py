"""What comes of an attempt: results, errors, retries, progress."""

import random
import time
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest
from rig.system import System, until

from common.domain.job import new_job_id


def test_results_that_json_holds_come_back_as_they_are(shared: System) -> None:
    for number, result in {3: None, 5: {"deep": [1, "two"]}}.items():
        job = shared.wait(shared.submit("odd_result", number))
        assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", result, 1)


@pytest.mark.parametrize("number", [0, 1, 2], ids=["not a number", "a set", "a lone surrogate"])
def test_a_result_that_json_cannot_hold_fails_the_job_at_once(shared: System, number: int) -> None:
    job = shared.wait(shared.submit("odd_result", number))
    assert job["status"] == "FAILED"
    assert job["error"]["type"] == "ResultNotJsonError"
    assert job["attempt"] == 1


@pytest.mark.parametrize("number", [4, 6], ids=["a NUL in a text", "an integer of 400 digits"])
def test_a_result_at_the_edge_of_json_ends_its_job_and_no_other(shared: System, number: int) -> None:
    """Either it is stored as it is, or the job fails with a code; its neighbours have their results."""
    before, odd, after = (shared.submit(*one) for one in (("noop", 1), ("odd_result", number), ("noop", 1, 2)))
    job = shared.wait(odd)
    assert job["status"] in {"SUCCESS", "FAILED"}
    if job["status"] == "SUCCESS":
        assert job["result"] == {4: {"nul": "\x00"}, 6: 10**400}[number]
    else:
        assert job["error"]["type"] in {"ResultNotJsonError", "result_not_stored"}
    assert [shared.wait(one)["result"] for one in (before, after)] == [1, 2]


def test_a_result_over_the_limit_fails_the_job_with_a_code(shared: System) -> None:
    """The limit is 2,000 bytes of JSON, quotes included."""
    fits, too_large = shared.submit("big_result", 1_998), shared.submit("big_result", 1_999)
    assert shared.wait(fits)["result"] == "x" * 1_998
    job = shared.wait(too_large)
    assert (job["status"], job["result"], job["attempt"]) == ("FAILED", None, 1)
    assert job["error"]["type"] == "result_too_large"
    assert "2000" in job["error"]["text"]
    assert "xxx" not in job["error"]["text"]


@pytest.mark.parametrize(("kind", "error_type"), [(0, "ValueError"), (1, "Rude")], ids=["a text that cannot be stored", "no text at all"])
def test_an_exception_that_cannot_be_shown_is_still_a_failure_with_a_text(shared: System, kind: int, error_type: str) -> None:
    job = shared.wait(shared.submit("rude_error", kind))
    assert (job["status"], job["error"]["type"]) == ("FAILED", error_type)
    assert 0 < len(job["error"]["text"]) <= 300


def test_leaving_the_process_is_the_failure_of_the_job_and_not_of_the_worker(shared: System) -> None:
    before = set(shared.children())
    job = shared.wait(shared.submit("exit_process", 3))
    assert (job["status"], job["error"]) == ("FAILED", {"type": "SystemExit", "text": "3"})
    assert set(shared.children()) == before


@pytest.mark.parametrize(("number", "error_type"), [(0, "ZeroDivisionError"), (1, "PermanentFailure")])
def test_a_permanent_error_is_not_tried_again(shared: System, number: int, error_type: str) -> None:
    job = shared.wait(shared.submit("fail_for_good", number))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", error_type, 1)
    assert job["max_attempts"] == 5
    assert [one["outcome"] for one in job["attempts"]] == ["failed"]


def test_an_overflow_is_a_failed_job_and_not_infinity(shared: System) -> None:
    job = shared.wait(shared.submit("square_sum", 1e200))
    assert (job["status"], job["result"], job["error"]["type"], job["attempt"]) == ("FAILED", None, "OverflowError", 1)


def test_input_that_the_operation_refuses_fails_the_job_at_once(shared: System) -> None:
    """As when an operation's model changed after the job was accepted."""
    job = shared.wait(_stored(shared, "noop", '{"data": []}'))
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "invalid_input", 1)


def test_an_operation_that_the_worker_does_not_have_fails_after_its_attempts(shared: System) -> None:
    job = shared.wait(_stored(shared, "gone", '{"data": [1]}', max_attempts=1))
    assert (job["status"], job["error"]["type"]) == ("FAILED", "unknown_operation")
    assert "'gone'" in job["error"]["text"]


def _stored(system: System, operation: str, text: str, max_attempts: int = 3) -> str:
    """Store a job that the API would refuse, as an older API may have done; the controller rings for it."""
    job_id = str(new_job_id(time.time_ns() // 1_000_000, random.getrandbits(74)))
    system.database.rows(
        """
        WITH job AS (
            INSERT INTO jobs (id, operation, queue, input, max_attempts) VALUES (%s, %s, 'default', %s, %s)
            RETURNING id, queue, max_attempts)
        INSERT INTO live (id, queue, max_attempts, pos) SELECT id, queue, max_attempts, clock_timestamp() FROM job
        """,
        (job_id, operation, text, max_attempts),
    )
    return job_id


def test_failures_are_tried_again_with_growing_delays_and_recorded(shared: System) -> None:
    """The operation waits 0.05 s, then 0.1, 0.2, 0.2: each between a half and the whole."""
    job = shared.wait(shared.submit("fail_times", 4))
    assert (job["status"], job["result"], job["attempt"], job["error"]) == ("SUCCESS", 5, 5, None)
    attempts = job["attempts"]
    assert [one["attempt"] for one in attempts] == [1, 2, 3, 4, 5]
    assert [one["outcome"] for one in attempts] == ["error", "error", "error", "error", "success"]
    assert [one["error"]["text"] for one in attempts[:4]] == [f"attempt {n} fails" for n in (1, 2, 3, 4)]
    for one, full in zip(attempts, (0.05, 0.1, 0.2, 0.2), strict=False):
        assert full / 2 <= _seconds(one["ended_at"], one["retry_at"]) <= full + 0.01
    for before, after in pairwise(attempts):
        assert _seconds(before["retry_at"], after["started_at"]) >= 0
    assert attempts[-1]["retry_at"] is None
    assert all(one["worker"] for one in attempts)


def _seconds(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def test_a_job_that_always_fails_ends_after_its_last_attempt(shared: System) -> None:
    job = shared.wait(shared.submit("fail_times", 9))
    assert (job["status"], job["attempt"], job["max_attempts"]) == ("FAILED", 5, 5)
    assert job["error"] == {"type": "RuntimeError", "text": "attempt 5 fails"}
    assert [one["outcome"] for one in job["attempts"]] == ["error"] * 4 + ["failed"]


def test_a_job_between_two_attempts_is_retrying(shared: System) -> None:
    """A waiting retry is claimed by nobody before its time, and the reader is told when that is."""
    seen: set[str] = set()
    job_id = shared.submit("fail_times", 4)

    def look() -> bool:
        job: dict[str, Any] = shared.job(job_id)
        seen.add(job["status"])
        if job["status"] == "RETRYING":
            assert job["due_at"] is not None
            assert job["started_at"] is None
        return bool(job["status"] == "SUCCESS")

    until("the job has ended", look)
    assert "RETRYING" in seen


@pytest.mark.parametrize(("fraction", "stored"), [(0.5, 0.5), (7.5, 1.0), (-1, 0.0)])
def test_progress_is_seen_while_the_job_runs_and_gone_after(shared: System, fraction: float, stored: float) -> None:
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


def test_a_job_of_a_queue_that_nobody_serves_waits(shared: System) -> None:
    job_id = shared.submit("other_queue", 1)
    shared.wait(shared.submit("noop", 1))
    assert shared.job(job_id)["status"] == "PENDING"
    assert shared.job(job_id)["queue"] == "slow"
