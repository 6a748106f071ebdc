"""Cancellation of running jobs: they stop on request or are killed with their process, and end CANCELLED."""

import time

import pytest
from rig.scrape import MetricsPage
from rig.system import System, until

RETURN, RAISE, LATER, EXIT = range(4)


def cancel(system: System, job_id: str) -> str:
    """Ask for the cancellation of a job; return its status at that moment."""
    response = system.client.post(f"/jobs/{job_id}/cancel")
    assert response.status_code in (200, 202)
    assert response.json()["cancel_requested"] == (response.status_code == 202)
    return str(response.json()["status"])


def test_an_operation_that_checks_for_cancellation_stops_and_its_process_continues(system: System) -> None:
    page = MetricsPage()
    system.api().worker(concurrency=1, JOBPROC_METRICS_PORT=page.port)
    before, began = system.children(), time.monotonic()
    job_id = system.submit("linger", 60, 1)
    until("the job runs", lambda: len(system.effects()) == 1)
    assert cancel(system, job_id) == "IN_PROGRESS"
    assert system.job(job_id)["cancel_requested"] is True
    job = system.wait(job_id)
    assert time.monotonic() - began < 30
    assert (job["status"], job["result"], job["error"], job["attempt"], job["cancel_requested"]) == (
        "CANCELLED",
        None,
        None,
        1,
        False,
    )
    assert [(attempt["outcome"], attempt["error"]) for attempt in job["attempts"]] == [("cancelled", None)]
    assert [line["phase"] for line in system.effects()] == ["begin"]
    assert cancel(system, job_id) == "CANCELLED"
    assert system.children() == before
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    assert page.value("jobproc_attempts_total", operation="linger", queue="default", outcome="cancelled") == 1
    assert page.total("jobproc_worker_processes_died_total") == 0
    assert [event["job_id"] for event in system.events("worker", "job_cancel_requested")] == [job_id]


@pytest.mark.parametrize("reaction", [RETURN, RAISE, LATER, EXIT])
def test_a_job_ends_cancelled_whatever_its_operation_does_on_request(system: System, reaction: int) -> None:
    page = MetricsPage()
    system.api().worker(JOBPROC_METRICS_PORT=page.port)
    job_id = system.submit("heed", 60, reaction)
    system.wait_status(job_id, "IN_PROGRESS")
    cancel(system, job_id)
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["error"], job["attempt"]) == ("CANCELLED", None, None, 1)
    assert system.database.rows("SELECT count(*) FROM attempts") == [(0,)]
    until("the cancellation is counted", lambda: page.total("jobproc_attempts_total", outcome="cancelled") == 1)
    assert page.total("jobproc_attempts_total") == 1


@pytest.mark.parametrize(("operation", "number"), [("effect", 60), ("hang_in_c", 64)])
def test_a_process_that_does_not_stop_is_killed_after_the_grace_and_only_its_job_is_cancelled(
    system: System, operation: str, number: int
) -> None:
    page = MetricsPage()
    system.env.update(
        JOBPROC_CANCEL_CHECK_SECONDS="0.1",
        JOBPROC_CANCEL_GRACE_SECONDS="0.3",
        JOBPROC_BATCH_TARGET_MILLISECONDS="10000",
    )
    system.env.update(JOBPROC_BATCH_MAX_SECONDS="60")
    system.worker(concurrency=1, JOBPROC_METRICS_PORT=page.port).api()
    for _ in range(3):
        system.wait(system.submit(operation, 0.001 if operation == "effect" else 1))
    system.wait_all()
    (before,) = system.children()
    quick = [0.002] if operation == "effect" else [2.0]
    stubborn, *rest = system.submit_many(operation, [[number], *[quick] * 5])
    system.wait_status(stubborn, "IN_PROGRESS")
    assert cancel(system, stubborn) == "IN_PROGRESS"
    job = system.wait(stubborn)
    assert (job["status"], job["error"], job["attempt"]) == ("CANCELLED", None, 1)
    assert [system.wait(job_id)["status"] for job_id in rest] == ["SUCCESS"] * 5
    assert {attempt["outcome"] for job_id in rest for attempt in system.job(job_id)["attempts"]} <= {
        "released",
        "success",
    }
    (event,) = system.events("worker", "process_killed")
    assert (event["job_id"], event["reason"], event["pid"]) == (stubborn, "cancelled", before)
    assert page.value("jobproc_worker_processes_died_total", reason="cancelled") == 1
    assert page.total("jobproc_attempts_total", outcome="cancelled") == 1


def test_a_manual_retry_of_a_cancelled_job_rings_its_queue_and_runs(system: System) -> None:
    """Only the API wakes the worker: there is no controller, and the worker polls once a minute."""
    system.api().worker(concurrency=1, JOBPROC_TICK_SECONDS="60")
    job_id = system.submit("linger", 60, 1)
    system.wait_status(job_id, "IN_PROGRESS")
    cancel(system, job_id)
    system.wait_status(job_id, "CANCELLED")
    response = system.client.post(f"/jobs/{job_id}/retry", json={"data": [0.01, 2]})
    assert (response.status_code, response.json()) == (202, {"job_id": job_id, "status": "PENDING", "run": 1})
    job = system.wait(job_id, limit_s=10)
    assert (job["status"], job["result"], job["run"], job["attempt"], job["runs"][-1]["input"]) == (
        "SUCCESS",
        2.0,
        1,
        1,
        {"data": [0.01, 2]},
    )
    assert [(attempt["run"], attempt["attempt"], attempt["outcome"]) for attempt in job["attempts"]] == [
        (0, 1, "cancelled"),
        (1, 1, "success"),
    ]
    response = system.client.post(f"/jobs/{job_id}/retry")
    assert (response.status_code, response.json()["state"]) == (409, "SUCCESS")


def test_a_cancelled_job_of_a_crashed_worker_is_cancelled_by_the_rescue(system: System) -> None:
    system.api().worker(concurrency=1).controller()
    job_id = system.submit("effect", 60, 1)
    system.wait_status(job_id, "IN_PROGRESS")
    system.kill("worker")
    cancel(system, job_id)
    job = system.wait(job_id)
    assert (job["status"], job["attempt"]) == ("CANCELLED", 1)
