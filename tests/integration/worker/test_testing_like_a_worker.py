"""`jobproc.testing.run` beside a real worker: every operation of the tests ends in the same way in both."""

import json
from pathlib import Path
from typing import Any

import pytest
from rig.system import System

from jobproc.testing import Cancelled, Failed, Outcome, Retries, Succeeded, run
from worker.execution.attempt import printable
from worker.operations.entry_points import installed_operations

OPERATIONS = installed_operations()
MAX_RESULT_BYTES, MAX_ERROR_CHARACTERS = 2_000, 300  # of the system that the tests of a file share

#: Operations that end, kill or stop their process, or change it for good, which a test cannot survive.
NOT_IN_A_TEST = {
    *("change_globals", "leave_thread"),
    *("die_times", "fall", "await_fall", "leave_process_and_die", "take_parent_along"),
    *("hang_in_c", "ignore_signals"),  # no exception ends them
    *("await_beside", "block"),  # end or block the event loop, which a worker watches
    *("leave_process", "end_process", "compute_in_processes"),  # about the processes that they start
    *("tell_progress", "say_then_wait", "current_span"),  # wait for the test, or need a tracer
    *("leave", "say", "say_and_die", "say_in_threads", "leave_talker"),  # about their process and its files
    "read_environment",  # returns that of its process
    *("tell_facts", "await_facts", "hand_out", "await_hand_out", "hand_out_slowly"),  # return ids of jobs
    "await_stubborn",  # never ends when it is cancelled
    *("flow_split", "flow_split_await", "flow_diamond"),  # add jobs to the workflow, which these jobs have not
    *("flow_submit", "flow_submit_await"),  # submit to the API, which these workers do not know
}
NUMBERS: dict[str, list[list[float]]] = {
    "noop": [[1, 2]],
    "square_sum": [[1, 2, 3], [1e200]],
    "cube_sum": [[2]],
    "effect": [[0, 7]],
    "stumble": [[0, 7], [2, 7]],
    "swell": [[1, 7]],
    "linger": [[0.01, 7]],
    "heed": [[0, 0], [0, 1], [0, 2]],
    "sleep": [[0]],
    "fail_times": [[0], [2], [9]],
    "back_off": [[0], [1]],
    "fail_for_good": [[0], [1]],
    "exit_process": [[3]],
    "sleep_limited": [[0], [3]],
    "allocate": [[1]],
    "allocate_and_fail": [[1]],
    "big_result": [[1_998], [1_999]],
    "odd_result": [[0], [1], [2], [3], [4], [5], [6]],
    "rude_error": [[0], [1]],
    "other_queue": [],
    "await_effect": [[0, 7]],
    "await_falter": [[2, 0, 7]],
    "await_only": [[0]],
    "await_limited": [[0, 0], [2, 0]],
    "await_told": [[0.5, 0]],
    "await_stumble": [[0, 0], [1, 0], [3, 0], [1, 1], [1, 2], [1, 3]],
    "await_much": [[10], [2_100]],
    "await_and_fail": [[0]],
    "later": [[0]],
    "marked": [[0, 7]],
    "burn": [[0, 1]],
    "name_twice": [[1, 2]],
    "fail_in_a_way": [[0, 1], [1, 1], [3, 1], [4, 2]],
    "await_in_vain": [[0], [-1]],
    "await_say": [[1]],
    "say_often": [[3, 0]],
}
INPUTS: dict[str, list[object]] = {
    "greet": [{"name": "Ada", "times": 2}],
    "meet": [{"day": "2026-01-02"}],
    "nest": [{"depth": 3}],
    "two_queues": [{}],
    "flow_plain": [{"value": 2}, {"fails": True}],
    "flow_step": [{"value": 2}, {"fails": True}],
    "flow_await": [{"value": 2}, {"fails": True}],
    "flow_sum": [{}],
    "jobproc_typed_operations.bill": [
        {"number": "00000000-0000-0000-0000-000000000007", "price": "1.50", "pieces": 3},
    ],
}
CASES = [
    *((name, {"data": data}) for name, inputs in NUMBERS.items() for data in inputs),
    *((name, job_input) for name, inputs in INPUTS.items() for job_input in inputs),
]


@pytest.fixture
def folder(shared: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let operations that run in this process write their files into a folder of the test."""
    monkeypatch.setenv("JOBPROC_TEST_FOLDER", str(tmp_path))


def test_every_operation_of_the_tests_is_compared_or_has_a_reason_not_to_be() -> None:
    assert {*NUMBERS, *INPUTS} | NOT_IN_A_TEST == set(OPERATIONS)


def described(error_type: str, text: str) -> tuple[str, str]:
    return error_type, printable(text, MAX_ERROR_CHARACTERS)


def ended_in_this_process(name: str, job_input: object) -> tuple[str, object, list[tuple[str, str]], bool]:
    """Run attempts until the job has ended, or is to wait for more than a minute.

    Return the status, the result, the errors, and True if the job waits.
    """
    errors: list[tuple[str, str]] = []
    attempt = 0
    while True:
        attempt += 1
        outcome: Outcome = run(OPERATIONS[name].declared, job_input, attempt=attempt, max_result_bytes=MAX_RESULT_BYTES)
        match outcome:
            case Succeeded():
                return "SUCCESS", json.loads(outcome.json), errors, False
            case Failed() | Cancelled():
                errors.append(described(outcome.error_type, outcome.error_text))
                return "FAILED" if isinstance(outcome, Failed) else "CANCELLED", None, errors, False
            case Retries(after_seconds):
                errors.append(described(outcome.error_type, outcome.error_text))
                if after_seconds > 60:
                    return "RETRYING", None, errors, True


def error_of(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["error"]["type"], entry["error"]["text"]


@pytest.mark.parametrize(
    ("name", "job_input"), CASES, ids=lambda value: value if isinstance(value, str) else str(value)
)
def test_an_operation_ends_as_in_a_worker(shared: System, folder: None, name: str, job_input: object) -> None:
    response = shared.client.post("/jobs/", json={"operation": name, "input": job_input})
    assert response.status_code == 202, response.text
    job_id = response.json()["job_id"]
    status, result, errors, waits = ended_in_this_process(name, job_input)
    if waits:
        shared.wait_status(job_id, "RETRYING")
    job = shared.job(job_id) if waits else shared.wait(job_id)
    assert (job["status"], job["result"]) == (status, result)
    assert [error_of(entry) for entry in job["attempts"] if entry.get("error")] == errors


def test_a_job_that_is_cancelled_ends_as_in_a_worker(shared: System, folder: None) -> None:
    job_id = shared.submit("linger", 30, 7)
    shared.wait_status(job_id, "IN_PROGRESS")
    shared.client.post(f"/jobs/{job_id}/cancel")
    job = shared.wait(job_id)
    outcome = run(OPERATIONS["linger"].declared, {"data": [30, 7]}, cancel_after_checks=5)
    assert isinstance(outcome, Cancelled)
    assert (job["status"], job["result"]) == ("CANCELLED", None)
