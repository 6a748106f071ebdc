"""Running jobs that a client cancels: they are told, they stop, or their process is ended; whatever they do, they end CANCELLED."""

import time

import pytest
from rig.scrape import Page
from rig.system import System, until

RETURN, RAISE, LATER, EXIT = range(4)


def cancel(system: System, job_id: str) -> str:
    answer = system.client.post(f"/jobs/{job_id}/cancel")
    assert answer.status_code in (200, 202)
    assert answer.json()["cancel_requested"] == (answer.status_code == 202)
    return str(answer.json()["status"])


def test_an_operation_that_looks_stops_and_its_process_goes_on(system: System) -> None:
    page = Page()
    system.api().worker(concurrency=1, JOBPROC_METRICS_PORT=page.port)
    before, began = system.children(), time.monotonic()
    job_id = system.submit("linger", 60, 1)
    until("it runs", lambda: len(system.effects()) == 1)
    assert cancel(system, job_id) == "IN_PROGRESS"
    assert system.job(job_id)["cancel_requested"] is True
    job = system.wait(job_id)
    assert time.monotonic() - began < 30
    assert (job["status"], job["result"], job["error"], job["attempt"], job["cancel_requested"]) == ("CANCELLED", None, None, 1, False)
    assert [(one["outcome"], one["error"]) for one in job["attempts"]] == [("cancelled", None)]
    assert [line["phase"] for line in system.effects()] == ["begin"]
    assert cancel(system, job_id) == "CANCELLED"
    assert system.children() == before
    assert system.wait(system.submit("noop", 1))["status"] == "SUCCESS"
    assert page.value("jobproc_attempts_total", operation="linger", queue="default", outcome="cancelled") == 1
    assert page.total("jobproc_worker_processes_died_total") == 0
    assert [event["job_id"] for event in system.events("worker", "job_asked_to_stop")] == [job_id]


@pytest.mark.parametrize("how", [RETURN, RAISE, LATER, EXIT])
def test_whatever_an_operation_does_once_it_was_asked_to_stop_its_job_is_cancelled(system: System, how: int) -> None:
    page = Page()
    system.api().worker(JOBPROC_METRICS_PORT=page.port)
    job_id = system.submit("heed", 60, how)
    system.wait_status(job_id, "IN_PROGRESS")
    cancel(system, job_id)
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["error"], job["attempt"]) == ("CANCELLED", None, None, 1)
    assert system.database.rows("SELECT count(*) FROM attempts") == [(0,)]
    until("it is counted", lambda: page.total("jobproc_attempts_total", outcome="cancelled") == 1)
    assert page.total("jobproc_attempts_total") == 1


@pytest.mark.parametrize(("operation", "number"), [("effect", 60), ("hang_in_c", 64)])
def test_a_process_that_does_not_stop_is_ended_after_the_grace_and_only_its_job_with_it(system: System, operation: str, number: int) -> None:
    page = Page()
    system.env.update(JOBPROC_CANCEL_CHECK_SECONDS="0.1", JOBPROC_CANCEL_GRACE_SECONDS="0.3", JOBPROC_BATCH_MILLISECONDS="10000")
    system.env.update(JOBPROC_SETTLE_EARLY_SECONDS="60")
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
    assert [system.wait(one)["status"] for one in rest] == ["SUCCESS"] * 5
    assert {one["outcome"] for job_id in rest for one in system.job(job_id)["attempts"]} <= {"released", "success"}
    (event,) = system.events("worker", "process_ended")
    assert (event["job_id"], event["reason"], event["pid"]) == (stubborn, "cancelled", before)
    assert page.value("jobproc_worker_processes_died_total", reason="cancelled") == 1
    assert page.total("jobproc_attempts_total", outcome="cancelled") == 1


def test_a_cancelled_job_that_was_retried_runs_again_and_is_rung_for(system: System) -> None:
    """Nobody else would wake the worker: there is no controller, and its own looks are a minute apart."""
    system.api().worker(concurrency=1, JOBPROC_TICK_SECONDS="60")
    job_id = system.submit("linger", 60, 1)
    system.wait_status(job_id, "IN_PROGRESS")
    cancel(system, job_id)
    system.wait_status(job_id, "CANCELLED")
    answer = system.client.post(f"/jobs/{job_id}/retry", json={"data": [0.01, 2]})
    assert (answer.status_code, answer.json()) == (202, {"job_id": job_id, "status": "PENDING", "epoch": 1})
    job = system.wait(job_id, limit_s=10)
    assert (job["status"], job["result"], job["epoch"], job["attempt"], job["reruns"][-1]["input"]) == ("SUCCESS", 2.0, 1, 1, {"data": [0.01, 2]})
    assert [(one["epoch"], one["attempt"], one["outcome"]) for one in job["attempts"]] == [(0, 1, "cancelled"), (1, 1, "success")]
    answer = system.client.post(f"/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (409, "SUCCESS")


def test_a_cancelled_job_of_a_worker_that_dies_is_cancelled_by_whoever_finds_it(system: System) -> None:
    system.api().worker(concurrency=1).controller()
    job_id = system.submit("effect", 60, 1)
    system.wait_status(job_id, "IN_PROGRESS")
    system.kill("worker")
    cancel(system, job_id)
    job = system.wait(job_id)
    assert (job["status"], job["attempt"]) == ("CANCELLED", 1)
