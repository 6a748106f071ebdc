"""/metrics of a worker, compared with the database."""

import os
import signal
import socket

import httpx
import pytest
from rig.scrape import MetricsPage, stored
from rig.system import System, until

from tools.servers import free_port, port_is_free


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


def test_processes_of_one_setting_take_following_ports_and_say_which(system: System) -> None:
    system.env["JOBPROC_METRICS_PORT"] = MetricsPage().port
    system.api().worker(concurrency=1).controller()
    served = {name: system.events(name, "metrics_serving")[0] for name in ("api", "worker", "controller")}
    assert len({event["port"] for event in served.values()}) == 3
    for name, event in served.items():
        assert 0 <= event["port"] - event["first_port"] < 10
        assert str(event["first_port"]) == system.env["JOBPROC_METRICS_PORT"]
        paths = ["/metrics"] if name == "worker" else ["/metrics", "/livez", "/readyz"]
        assert event["paths"] == paths
        for path in paths:
            assert httpx.get(f"http://127.0.0.1:{event['port']}{path}").status_code == 200


@pytest.mark.parametrize(("tries", "tried"), [(1, "{0}"), (2, "{0} to {1}")])
def test_a_start_ends_with_a_sentence_when_all_ports_are_taken(system: System, tries: int, tried: str) -> None:
    with socket.socket() as first, socket.socket() as next_to_it:
        until("two ports in a row are free", lambda: _bound(first, next_to_it, free_port()))
        port = first.getsockname()[1]
        late = system.spawn("late", "worker", JOBPROC_METRICS_PORT=str(port), JOBPROC_METRICS_PORT_TRIES=str(tries))
        assert late.wait(20) == 1
    sentence = f"worker: JOBPROC_METRICS_PORT {tried.format(port, port + 1)}: Address already in use"
    assert sentence in system.log("late").splitlines()


def _bound(first: socket.socket, next_to_it: socket.socket, port: int) -> bool:
    """Take two ports in a row. Returns False if the second one is taken."""
    if not port_is_free(port + 1):
        return False
    for listener, number in ((first, port), (next_to_it, port + 1)):
        listener.bind(("127.0.0.1", number))
        listener.listen()
    return True
