"""Jobs of operations that no worker knows, and jobs that crash their worker."""

import httpx
from rig.scrape import MetricsPage
from rig.system import System, until

from tools.servers import free_port

FORGET = "UPDATE workers SET operations = array_remove(operations, 'marked@2')"
PASSED = """SELECT count(*) FROM workers w, live l
WHERE (w.low_water_marks -> 'default' ->> '5')::timestamptz > l.claimable_at"""
UNKNOWN = 'jobproc_queue_unrunnable_jobs{queue="default"} 1.0'


def test_a_job_of_a_version_that_no_worker_knows_waits_is_counted_and_starts_no_attempt(system: System) -> None:
    """As during a rollout, when only old workers run. All other jobs run."""
    port = free_port()
    system.api().worker()
    system.database.rows(FORGET)
    waiting = system.submit("marked", 0, 5)
    assert system.database.value("SELECT needs FROM live WHERE id = %s", (waiting,)) == "marked@2"
    for _ in range(3):
        assert system.wait(system.submit("square_sum", 1, 2))["status"] == "SUCCESS"
    until("a low-water mark has passed the job", lambda: system.database.value(PASSED))
    system.controller(JOBPROC_METRICS_PORT=str(port))
    until("the job is counted", lambda: UNKNOWN in httpx.get(f"http://127.0.0.1:{port}/metrics").text)
    job = system.job(waiting)
    assert (job["status"], job["attempt"], job["attempts"]) == ("PENDING", 0, [])
    assert "stray_jobs_requeued" not in system.log("controller")
    system.worker("new")
    assert system.wait(waiting)["result"] == 5
    assert system.job(waiting)["attempt"] == 1


def test_a_controller_that_leads_no_more_exports_no_count_of_such_jobs(system: System) -> None:
    """It would be the last count for ever, and an alert takes the maximum of all controllers."""
    page = MetricsPage()
    system.api().worker()
    system.database.rows(FORGET)
    waiting = system.submit("marked", 0, 5)
    system.wait(system.submit("square_sum", 1, 2))
    until("a low-water mark has passed the job", lambda: system.database.value(PASSED))
    system.controller(JOBPROC_METRICS_PORT=page.port)
    until("the job is counted", lambda: page.value("jobproc_queue_unrunnable_jobs", queue="default") == 1)
    system.database.rows("UPDATE leaders SET holder = 'another', until = now() + interval '1 h'")
    until("the leader has changed", lambda: page.value("jobproc_controller_leading") == 0)
    until("the count is gone", lambda: page.value("jobproc_queue_unrunnable_jobs", queue="default") is None, limit_s=5)
    assert system.status(waiting) == "PENDING"


def test_a_job_that_crashes_its_worker_is_isolated_and_fails_and_its_neighbours_are_not_charged(
    system: System,
) -> None:
    """While the culprit is unknown, no job is charged and each is isolated. Then the culprit is charged three times."""
    settings = {"JOBPROC_BATCH_MAX_SECONDS": "60", "JOBPROC_BATCH_TARGET_MILLISECONDS": "10000"}
    system.env.update(settings)
    system.api().controller().worker(concurrency=1)
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))
    system.submit("effect", 0.5, 0)
    until("the job runs", lambda: system.effects()[-1]["phase"] == "begin")
    poison, *neighbours = system.submit_many("effect", [[0.001, n] for n in range(10)])
    system.database.rows(
        "UPDATE jobs SET operation = 'take_parent_along', input = '{\"data\":[99]}', max_attempts = 9 WHERE id = %s",
        (poison,),
    )
    system.database.rows("UPDATE live SET needs = 'take_parent_along', max_attempts = 9 WHERE id = %s", (poison,))
    for _ in range(9):
        until(
            "the worker has crashed, or the job has failed",
            lambda: system.processes["worker"].poll() is not None or system.status(poison) == "FAILED",
            limit_s=30,
        )
        if system.status(poison) == "FAILED":
            break
        system.worker("worker", concurrency=1)
    job = system.wait(poison)
    assert (job["status"], job["error"]["type"]) == ("FAILED", "worker_lost")
    outcomes = [attempt["outcome"] for attempt in job["attempts"]]
    assert outcomes.count("lost") + outcomes.count("failed") == 3, outcomes
    system.wait_all()
    for number, job_id in enumerate(neighbours, 1):
        job = system.job(job_id)
        assert (job["status"], job["result"]) == ("SUCCESS", number)
        assert "lost" not in [attempt["outcome"] for attempt in job["attempts"]]
