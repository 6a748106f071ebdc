"""/metrics of a worker, compared with the database."""

import os
import signal

import httpx
from rig.scrape import MetricsPage, stored
from rig.system import System, until


def test_attempt_counters_agree_with_the_database(system: System) -> None:
    """Results, retries and failures of both processes, and two jobs that each crash a process."""
    page = MetricsPage()
    system.api().worker(JOBPROC_METRICS_PORT=page.port).controller()
    for operation, inputs in {
        "noop": [[1.0]] * 300,
        "fail_times": [[1.0]] * 20,
        "fail_for_good": [[0.0]] * 10,
        "die_times": [[1.0]] * 2,
    }.items():
        system.submit_many(operation, inputs)
    system.wait_all()
    statuses = stored(system, "SELECT status, count(*) FROM outcomes GROUP BY 1")
    outcomes = stored(system, "SELECT outcome, count(*) FROM attempts GROUP BY 1")
    assert statuses == {"SUCCESS": 322, "FAILED": 10}
    assert outcomes["error"] == 20
    assert page.total("jobproc_attempts_total", outcome="success") == statuses["SUCCESS"]
    assert (
        page.value("jobproc_attempts_total", operation="fail_for_good", queue="default", outcome="failed")
        == statuses["FAILED"]
    )
    assert page.total("jobproc_attempts_total", outcome="retried") == outcomes["error"] + outcomes["lost"]
    assert page.total("jobproc_attempts_total", outcome="released") == outcomes.get("released", 0)
    assert page.value("jobproc_worker_processes_died_total", reason="worker_lost") == outcomes["lost"] > 0
    assert page.value("jobproc_attempt_duration_seconds_count", operation="noop") == 300
    claimed = page.value("jobproc_claim_jobs_sum", queue="default")
    assert (
        claimed
        == page.value("jobproc_start_delay_seconds_count", queue="default")
        == page.total("jobproc_attempts_total")
    )
    assert (page.value("jobproc_empty_claims_total", queue="default") or 0) > 0
    assert page.value("jobproc_results_fenced_total") == 0


def test_the_start_delay_is_measured_from_the_due_time(system: System) -> None:
    page = MetricsPage()
    system.api()
    system.submit_many("square_sum", [[1.0]] * 10)
    system.database.rows("UPDATE live SET claimable_at = now() - interval '20 s'")
    system.worker(JOBPROC_METRICS_PORT=page.port).controller()
    system.wait_all()
    assert page.value("jobproc_start_delay_seconds_bucket", queue="default", le="10.0") == 0
    assert page.value("jobproc_start_delay_seconds_bucket", queue="default", le="60.0") == 10
    assert 200 < (page.value("jobproc_start_delay_seconds_sum", queue="default") or 0) < 600


def test_busy_processes_are_counted_while_they_run_a_job(system: System) -> None:
    page = MetricsPage()
    system.api().worker(JOBPROC_METRICS_PORT=page.port)
    until("both processes are idle", lambda: page.value("jobproc_worker_processes", state="idle") == 2)
    job = system.submit("sleep", 1.0)
    until("one process is busy", lambda: page.value("jobproc_worker_processes", state="busy") == 1)
    system.wait(job)
    until("no process is busy", lambda: page.value("jobproc_worker_processes", state="busy") == 0)


def test_the_fenced_result_of_a_frozen_worker_is_counted(system: System) -> None:
    page = MetricsPage()
    system.api().worker(concurrency=1, JOBPROC_METRICS_PORT=page.port).controller()
    job = system.submit("sleep", 0.5)
    system.wait_status(job, "IN_PROGRESS")
    (child,) = system.children()
    system.kill("worker", signal.SIGSTOP)
    os.kill(child, signal.SIGSTOP)
    until("the lease has ended", lambda: system.database.value("SELECT count(*) FROM attempts WHERE outcome = 'lost'"))
    os.kill(child, signal.SIGCONT)
    system.kill("worker", signal.SIGCONT)
    assert system.wait(job)["status"] == "SUCCESS"
    until("the fenced result is counted", lambda: page.value("jobproc_results_fenced_total") == 1)


def test_openmetrics_is_served_on_request(system: System) -> None:
    page = MetricsPage()
    system.worker(JOBPROC_METRICS_PORT=page.port)
    text = page.text(accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert httpx.get(f"http://127.0.0.1:{page.port}/").status_code == 404


def test_a_taken_port_is_reported(system: System) -> None:
    page = MetricsPage()
    system.worker(JOBPROC_METRICS_PORT=page.port)
    second = system.spawn("second", "worker", JOBPROC_METRICS_PORT=page.port)
    assert second.wait(20) == 1
    assert f"worker: JOBPROC_METRICS_PORT {page.port}: Address already in use" in system.log("second")
