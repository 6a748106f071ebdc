"""Failed attempts as people see them: tracebacks, errors beside results, lines of the log."""

import json
import signal
from functools import partial
from typing import Any

import jobproc_failing_operations
import pytest
from rig.system import System, until

CAUSE, GROUP, RECURSION, UNSPEAKABLE, LONG_TEXT = map(float, range(5))
FILE = jobproc_failing_operations.__file__


def tracebacks(job: dict[str, Any]) -> list[str | None]:
    return [attempt["error"] and attempt["error"]["traceback"] for attempt in job["attempts"]]


def test_each_failed_attempt_keeps_its_traceback_which_begins_in_the_operation(shared: System) -> None:
    """Frames of jobproc are above those of the operation, and left out."""
    job = shared.wait(shared.submit("fail_in_a_way", CAUSE, 1))
    assert job["status"] == "SUCCESS"
    failed, succeeded = tracebacks(job)
    assert (succeeded, job["error"]) == (None, None)
    assert failed is not None
    first, second = failed.split("\nThe above exception was the direct cause of the following exception:\n\n")
    for part, error in ((first, "KeyError: 12\n"), (second, "LookupError: no address")):
        head, frame, *_, last = part.splitlines()
        assert head == "Traceback (most recent call last):"
        assert frame.startswith(f'  File "{FILE}", line ')
        assert last == error.strip()
    assert second.splitlines()[1].endswith(", in fail_in_a_way")
    assert 'raise LookupError("no address") from error' in second
    assert "s3cret" not in failed


def test_the_traceback_of_a_failed_job_is_shown_with_it_and_not_in_lists(shared: System) -> None:
    job_id = shared.submit("fail_in_a_way", CAUSE, 9)
    job = shared.wait(job_id)
    assert job["status"] == "FAILED"
    assert job["error"]["traceback"] == tracebacks(job)[-1] is not None
    assert job["error"]["traceback"].endswith("LookupError: no address")
    (listed,) = [
        listed
        for listed in shared.client.get("/jobs/", params={"status": "FAILED"}).json()["jobs"]
        if listed["job_id"] == job_id
    ]
    assert listed["error"] == {"type": "LookupError", "text": "no address"}
    assert all("traceback" not in (change["error"] or {}) for change in job["timeline"])


@pytest.mark.parametrize(
    ("way", "parts"),
    [
        (GROUP, ["1 of 2:\n  | ValueError: the first\n", "  2 of 2:\n  | KeyError: 'the second'"]),
        (RECURSION, ["times more …\n", "RecursionError: maximum recursion depth exceeded"]),
        (UNSPEAKABLE, ["Unspeakable: (its text cannot be shown)"]),
        (LONG_TEXT, ["ValueError: begin�?éé", "characters are left out", "éend"]),
    ],
    ids=["group", "100,000 frames", "a text that raises", "10 MB of text"],
)
@pytest.mark.parametrize("operation", ["fail_in_a_way", "await_in_vain"])
def test_any_exception_has_a_traceback_within_the_limit(
    shared: System, operation: str, way: float, parts: list[str]
) -> None:
    job = shared.wait(shared.submit(operation, way, 9))
    assert job["status"] == "FAILED"
    for text in tracebacks(job):
        assert text is not None
        assert len(text) <= 8_000
        assert text.startswith(f'Traceback (most recent call last):\n  File "{FILE}"')
        assert all(part in text for part in parts)


def test_the_traceback_of_an_async_timeout_says_where_it_waited(shared: System) -> None:
    job = shared.wait(shared.submit("await_in_vain", -1))
    assert (job["status"], job["error"]["type"]) == ("FAILED", "timeout")
    assert "await asyncio.sleep(30 if" in job["error"]["traceback"]


@pytest.mark.parametrize("operation", ["odd_result", "sleep_limited"])
def test_a_failure_without_an_exception_of_the_operation_has_no_traceback(shared: System, operation: str) -> None:
    job = shared.wait(shared.submit(operation, 1))
    assert job["status"] == "FAILED"
    assert set(tracebacks(job)) == {None}


def test_a_result_of_a_failed_job_carries_the_error(shared: System) -> None:
    body = {"data": [0], "operation": "fail_for_good"}
    submitted = shared.client.post("/jobs/", params={"wait": 20}, json=body)
    assert submitted.status_code == 200
    job_id = submitted.json()["job_id"]
    expected = {
        "job_id": job_id,
        "status": "FAILED",
        "result": None,
        "error": {"type": "ZeroDivisionError", "text": "float division by zero"},
    }
    assert submitted.json() == expected
    for wait in ({}, {"wait": 5}):
        response = shared.client.get(f"/jobs/{job_id}/result", params=wait)
        assert (response.status_code, response.json()) == (200, expected)


def test_a_long_error_text_is_whole_in_the_answer_to_a_waiting_client(system: System) -> None:
    """The API reads the text of such a job alone, not with those of many."""
    system.all(JOBPROC_MAX_ERROR_CHARACTERS="20000")
    body = {"data": [LONG_TEXT, 9], "operation": "fail_in_a_way", "max_attempts": 1}
    error = system.client.post("/jobs/", params={"wait": 15}, json=body).json()["error"]
    assert (error["type"], len(error["text"])) == ("ValueError", 20_000)


def test_a_success_and_an_unfinished_job_have_no_error_beside_their_result(shared: System) -> None:
    body = {"data": [1, 2, 3], "operation": "square_sum"}
    response = shared.client.post("/jobs/", params={"wait": 20}, json=body)
    job_id = response.json()["job_id"]
    expected = f'{{"job_id":"{job_id}","status":"SUCCESS","result":14.0}}'
    assert response.text == shared.client.get(f"/jobs/{job_id}/result").text == expected
    waiting = shared.submit("other_queue", 1)
    assert set(shared.client.get(f"/jobs/{waiting}/result").json()) == {"job_id", "status", "result"}


def lines_of(system: System, job_id: str) -> list[dict[str, Any]]:
    events = [json.loads(line) for line in system.log("worker").splitlines() if job_id in line and line[0] == "{"]
    names = {"attempt_failed", "job_failed", "job_finished"}
    return [{"level": event["level"], **event} for event in events if event["event"] in names]


@pytest.mark.parametrize(
    ("operation", "data", "error", "retries"),
    [
        ("fail_in_a_way", (CAUSE, 9), "LookupError", 1),
        ("await_in_vain", (CAUSE,), "LookupError", 0),
        ("await_in_vain", (-1,), "timeout", 0),
        ("sleep_limited", (30,), "timeout", 1),
        ("leave", (3,), "worker_lost", 0),
    ],
)
def test_failures_are_logged_with_what_happens_to_their_job(
    system: System, operation: str, data: tuple[float, ...], error: str, retries: int
) -> None:
    """The process of the attempt, its event loop or the parent decides."""
    system.all(JOBPROC_LOG_LEVEL="info")
    job_id = system.submit(operation, *data)
    job = system.wait(job_id)
    lines = until("the end is logged", lambda: found if (found := lines_of(system, job_id))[retries:] else None)
    assert [(line["level"], line["event"]) for line in lines] == [
        *[("warning", "attempt_failed")] * retries,
        ("error", "job_failed"),
    ]
    for number, line in enumerate(lines, 1):
        assert (line["operation"], line["queue"], line["attempt"]) == (operation, "default", number)
        assert (line["error"], bool(line["reason"])) == (error, True)
    for line in lines[:-1]:
        assert (line["attempts_left"], line["retry_in_s"] > 0) == (1, True)
    assert lines[-1]["exception"] == job["error"]["traceback"]


@pytest.mark.parametrize(
    ("operation", "data"), [("sleep_limited", (30,)), ("block", (30,)), ("leave", (3,)), ("die_times", (9, 11))]
)
def test_celery_logs_no_traceback_when_a_process_ends(system: System, operation: str, data: tuple[float, ...]) -> None:
    """Jobproc says how a process has ended, unless its parent has killed it and said why."""
    system.all(JOBPROC_EVENT_LOOP_BLOCK_TIMEOUT_SECONDS="0.3")
    assert system.wait(system.submit(operation, *data))["status"] == "FAILED"
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    causes = {"leave": {"ended with exit code 3"}, "die_times": {"was ended by SIGSEGV"}}.get(operation, set())
    until("it says so", lambda: {event["cause"] for event in system.events("worker", "process_ended")} == causes)
    log = system.log("worker")
    assert "Traceback" not in log
    assert "WorkerLost" not in log
    assert "exited with" not in log
    assert system.events("worker", "library_log") == []


@pytest.mark.parametrize(
    ("operation", "data", "how"),
    [
        ("die_times", (9, signal.SIGSEGV), "was ended by SIGSEGV"),
        ("die_times", (9, signal.SIGKILL), "was ended by SIGKILL"),
        ("leave", (3,), "ended with exit code 3"),
    ],
)
def test_a_lost_attempt_says_how_its_process_ended(
    system: System, operation: str, data: tuple[float, ...], how: str
) -> None:
    """Half of the times the pool reads the exit code before the supervisor looks. No lease ends meanwhile."""
    system.all(JOBPROC_LEASE_SECONDS="60")
    for job_id in system.submit_many(operation, [list(data)] * 4):
        job = system.wait(job_id)
        assert job["error"] == {"type": "worker_lost", "text": f"the worker process {how}", "traceback": None}


def test_a_storm_of_failures_is_counted_and_not_logged_line_by_line(system: System) -> None:
    system.all(JOBPROC_FAILURE_LOG_LINES_PER_SECOND="2", JOBPROC_LOG_LEVEL="info")
    body = {"data": [CAUSE, 9], "operation": "fail_in_a_way", "max_attempts": 1}
    assert system.client.post("/jobs/batch", json=[body] * 2_000).status_code == 202
    system.wait_all()

    def counted() -> bool:
        unlogged = sum(event["count"] for event in system.events("worker", "failures_not_logged"))
        return bool(len(system.events("worker", "job_failed")) + unlogged == 2_000)

    until("each failure is logged or counted", counted)
    assert len(system.events("worker", "job_failed")) < 200


def test_finished_jobs_are_logged_on_request(system: System) -> None:
    system.all(JOBPROC_JOB_LOG_SUMMARY="true", JOBPROC_LOG_LEVEL="info")
    jobs = [
        (system.submit(operation, *data), status)
        for operation, data, status in (
            ("noop", (1,), "SUCCESS"),
            ("await_only", (0.01,), "SUCCESS"),
            ("fail_for_good", (0,), "FAILED"),
            ("leave", (3,), "FAILED"),
        )
    ]
    system.wait_all()
    cancelled = system.submit("linger", 30)
    until("it runs", lambda: any(line["job"] == cancelled for line in system.effects()))
    system.client.post(f"/jobs/{cancelled}/cancel").raise_for_status()
    for job_id, status in [*jobs, (cancelled, "CANCELLED")]:
        assert system.wait(job_id)["status"] == status
        finished = until(f"the end of {job_id} is logged", partial(_finished, system, job_id))
        assert [(line["status"], line["level"]) for line in finished] == [(status, "info")]


def _finished(system: System, job_id: str) -> list[dict[str, Any]]:
    return [line for line in lines_of(system, job_id) if line["event"] == "job_finished"]


def test_no_traceback_is_kept_if_none_is_wanted(system: System) -> None:
    system.all(JOBPROC_MAX_TRACEBACK_CHARACTERS="0")
    job = system.wait(system.submit("fail_in_a_way", CAUSE, 9))
    assert (job["status"], set(tracebacks(job))) == ("FAILED", {None})
