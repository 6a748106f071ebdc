"""Faults while a process runs many async jobs: charged and uncharged attempts, and jobs that are not affected."""

import os
import signal
import time
from collections import Counter
from itertools import groupby

import pytest
from rig.scrape import MetricsPage
from rig.system import System, until

LONG_LEASES = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_HEARTBEAT_SECONDS": "0.4"}


def started(system: System, *jobs: str) -> int:
    """Return the number of these jobs that have started."""
    return len({line["job"] for line in system.effects() if line["phase"] == "begin"} & set(jobs))


def outcomes(system: System, job_id: str) -> list[str]:
    """Return the outcomes of a job's attempts, oldest first."""
    return [str(attempt["outcome"]) for attempt in system.job(job_id)["attempts"]]


def test_neither_kind_of_job_waits_for_the_other_and_no_job_is_claimed_beyond_the_limit(system: System) -> None:
    """One process, three async jobs at a time. First it is full of long ones, later it runs a long plain job."""
    system.env.update(JOBPROC_ASYNC_CONCURRENCY="3")
    system.worker(concurrency=1).api()
    bodies = [{"operation": operation, "data": [0.01, n]} for n in range(4) for operation in ("await_effect", "effect")]
    mixed = system.client.post("/jobs/batch", json=bodies).json()["job_ids"]
    assert [system.wait(job_id)["result"] for job_id in mixed] == [0, 0, 1, 1, 2, 2, 3, 3]
    long = system.submit_many("await_effect", [[60, n] for n in range(8)])
    until("three async jobs run", lambda: started(system, *long) == 3)
    for number in range(3):
        assert system.wait(system.submit("effect", 0.01, number), limit_s=5)["result"] == number
    assert system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 3
    for job_id in long:
        system.client.post(f"/jobs/{job_id}/cancel")
    system.wait_all()
    plain = system.submit("effect", 60, 1)
    until("the plain job runs", lambda: started(system, plain))
    assert {
        system.wait(job_id, limit_s=5)["status"]
        for job_id in system.submit_many("await_effect", [[0.01, n] for n in range(9)])
    } == {"SUCCESS"}
    assert system.status(plain) == "IN_PROGRESS"


def test_a_job_that_ignores_its_end_is_killed_with_its_process_and_alone_is_charged(system: System) -> None:
    page = MetricsPage()
    system.env.update(LONG_LEASES, JOBPROC_CANCEL_GRACE_SECONDS="0.3")
    system.worker(concurrency=1, JOBPROC_METRICS_PORT=page.port).api()
    others = [system.submit("await_effect", 1.5, 7), system.submit("effect", 1.5, 8)]
    until("the jobs run", lambda: started(system, *others) == 2)
    overrun = system.wait(system.submit("await_limited", 60, 1))
    assert (overrun["status"], overrun["error"]["type"]) == ("FAILED", "timeout")
    assert outcomes(system, overrun["job_id"]) == ["timeout", "failed"]
    stubborn = system.submit("await_stubborn", 60)
    until("the stubborn job runs", lambda: started(system, stubborn))
    system.client.post(f"/jobs/{stubborn}/cancel")
    assert system.wait(stubborn)["status"] == "CANCELLED"
    for job_id in others:
        assert system.wait(job_id)["status"] == "SUCCESS"
        assert set(outcomes(system, job_id)[:-1]) == {"released"}
    assert [event["reason"] for event in system.events("worker", "process_killed")] == [
        "timeout",
        "timeout",
        "cancelled",
    ]
    assert page.value("jobproc_worker_processes_died_total", reason="cancelled") == 1
    assert page.value("jobproc_attempts_total", operation="await_stubborn", queue="default", outcome="cancelled") == 1


def test_a_job_that_blocks_the_event_loop_is_identified_and_alone_is_charged(system: System) -> None:
    system.env.update(LONG_LEASES, JOBPROC_EVENT_LOOP_BLOCK_TIMEOUT_SECONDS="0.5")
    system.worker(concurrency=1).api()
    others = system.submit_many("await_effect", [[2, n] for n in range(5)])
    until("the jobs run", lambda: started(system, *others) == 5)
    job = system.wait(system.submit("block", 60))
    assert (job["status"], job["error"]["type"], outcomes(system, job["job_id"])) == (
        "FAILED",
        "loop_blocked",
        ["timeout", "failed"],
    )
    assert {system.wait(job_id)["status"] for job_id in others} == {"SUCCESS"}
    assert {outcome for job_id in others for outcome in outcomes(system, job_id)} == {"released", "success"}
    assert not system.database.value("SELECT count(*) FROM live")
    kills = system.events("worker", "process_killed")
    assert [(event["reason"], event["job_id"]) for event in kills] == [("loop_blocked", job["job_id"])] * 2


@pytest.mark.parametrize(
    ("beside", "ends"),
    [
        (0, [("error", "SystemExit"), ("success", None)]),
        (1, [("error", "KeyboardInterrupt"), ("success", None)]),
        (2, [("success", None)]),
    ],
    ids=["an exit in a task", "an interrupt in a callback", "a stop of the loop"],
)
def test_what_would_end_an_event_loop_fails_its_own_attempt_alone(
    system: System, beside: int, ends: list[tuple[str, str | None]]
) -> None:
    system.env.update(LONG_LEASES)
    system.worker(concurrency=1).api()
    pids, others = system.children(), system.submit_many("await_effect", [[1, n] for n in range(5)])
    until("the jobs run", lambda: started(system, *others) == 5)
    job = system.wait(system.submit("await_beside", beside, 0.5), limit_s=10)
    attempts = [(attempt["outcome"], (attempt["error"] or {}).get("type")) for attempt in job["attempts"]]
    assert (job["status"], attempts) == ("SUCCESS", ends)
    assert {(system.wait(job_id)["status"], *outcomes(system, job_id)) for job_id in others} == {("SUCCESS", "success")}
    assert system.children() == pids


def test_the_death_of_an_event_loop_is_seen_at_once_and_its_jobs_run_again(system: System) -> None:
    system.env.update(LONG_LEASES)
    system.worker(concurrency=1).api()
    others = system.submit_many("await_effect", [[0.5, n] for n in range(3)])
    until("the jobs run", lambda: started(system, *others) == 3)
    job_id = system.submit("await_beside", 3, 0.3)
    until("the process has ended", lambda: system.events("worker", "process_recovered"), limit_s=5)
    assert system.events("worker", "event_loop_failed")
    for other in (job_id, *others):
        assert (system.wait(other)["status"], outcomes(system, other)[0]) == ("SUCCESS", "released")


def test_after_a_crash_of_a_process_with_many_jobs_none_is_charged_and_each_runs_isolated(system: System) -> None:
    """The job that crashed the process is identified when it crashes again, alone."""
    system.env.update(LONG_LEASES, JOBPROC_MAX_CRASHES="2")
    system.worker(concurrency=1).api()
    system.wait(system.submit("await_effect", 0.01, 0))
    finished = system.submit_many("await_effect", [[0.01, n] for n in range(5)])
    system.wait_all()
    bodies = [{"operation": "await_effect", "data": [0.6, n]} for n in range(5)]
    *others, poison = system.client.post(
        "/jobs/batch", json=[*bodies, {"operation": "await_fall", "data": [0.3, 99]}]
    ).json()["job_ids"]
    system.wait_all()
    assert (system.job(poison)["status"], system.job(poison)["error"]["type"]) == ("FAILED", "worker_lost")
    assert outcomes(system, poison) == ["released", "lost", "failed"]
    for number, job_id in enumerate(others):
        # Each crash by the poison job releases the others once more while they wait to run isolated.
        *before, last = outcomes(system, job_id)
        assert (system.job(job_id)["result"], set(before), last) == (number, {"released"}, "success")
    assert {outcome for job_id in finished for outcome in outcomes(system, job_id)} == {"success"}
    effects = [line for line in system.effects() if line["job"] in {*others, poison}]
    starts = Counter((line["job"], line["attempt"]) for line in effects if line["phase"] == "begin")
    assert set(starts.values()) == {1}
    isolated = [key for key, _ in groupby((line["job"], line["attempt"]) for line in effects if line["attempt"] > 1)]
    assert len(isolated) == len(set(isolated)), "an isolated attempt started before another had ended"


def test_a_drain_finishes_running_jobs_and_claims_no_more(system: System) -> None:
    system.env.update(LONG_LEASES, JOBPROC_ASYNC_CONCURRENCY="3")
    system.worker(concurrency=1).api()
    running = system.submit_many("await_effect", [[1.0, n] for n in range(3)])
    until("the jobs run", lambda: started(system, *running) == 3)
    waiting = system.submit_many("await_effect", [[0.01, n] for n in range(3)])
    assert system.end("worker", limit_s=10) == 0
    assert [system.job(job_id)["result"] for job_id in running] == [0, 1, 2]
    assert {outcome for job_id in running for outcome in outcomes(system, job_id)} == {"success"}
    assert {system.job(job_id)["attempt"] for job_id in waiting} == {0}
    assert system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0


def test_jobs_that_run_longer_than_the_grace_are_released_uncharged(system: System) -> None:
    system.env.update(LONG_LEASES, JOBPROC_SHUTDOWN_GRACE_SECONDS="0.5")
    system.worker(concurrency=1).api()
    running = system.submit_many("await_effect", [[60, n] for n in range(3)])
    until("the jobs run", lambda: started(system, *running) == 3)
    signalled_at = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert time.monotonic() - signalled_at < 5
    assert [(system.status(job_id), outcomes(system, job_id)) for job_id in running] == [("PENDING", ["released"])] * 3
    assert system.database.rows("SELECT DISTINCT attempt - released, isolated FROM live") == [(0, False)]


def test_jobs_that_run_while_connections_are_lost_run_once_and_are_settled(system: System) -> None:
    """Running jobs are carried over to each new id of the process; ended ones are settled under the previous id."""
    system.env.update(LONG_LEASES)
    system.all()
    pids = set(system.children())
    jobs = system.submit_many("await_effect", [[0.1 + n % 10 / 5, n] for n in range(60)])
    until("the jobs run", lambda: started(system, *jobs) > 30)
    for _ in range(5):
        system.database.rows(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND usename = 'jobproc_test_worker'
            """
        )
        time.sleep(0.3)  # the interval of the fault, not a wait for an effect
    system.wait_all()
    assert sorted(
        row[0] for row in system.database.rows("SELECT result::text::float8 FROM outcomes WHERE status = 'SUCCESS'")
    ) == list(range(60))
    assert set(Counter(line["job"] for line in system.effects() if line["phase"] == "begin").values()) == {1}
    assert not system.events("worker", "results_fenced")
    assert len(system.events("worker", "reconnected")) >= 5
    assert set(system.children()) == pids


def test_jobs_of_a_worker_frozen_past_its_lease_run_elsewhere_and_their_late_results_are_fenced(system: System) -> None:
    system.worker(concurrency=1).api().controller()
    running = system.submit_many("await_effect", [[60, n] for n in range(3)])
    until("the jobs run", lambda: started(system, *running) == 3)
    pids = [system.processes["worker"].pid, *system.children()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    until(
        "the jobs are released, each to run isolated",
        lambda: system.database.value("SELECT count(*) FROM live WHERE isolated") == 3,
    )
    system.worker("other", concurrency=1)
    until(
        "a job runs again",
        lambda: started(system, *running) == 3 and {line["attempt"] for line in system.effects()} == {1, 2},
    )
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    until(
        "the late results are fenced",
        lambda: sum(event["count"] for event in system.events("worker", "results_fenced")) == 3,
    )
    assert {line["phase"] for line in system.effects()} == {"begin"}
    assert {tuple(outcomes(system, job_id)) for job_id in running} == {("released",)}
    for job_id in running:
        system.client.post(f"/jobs/{job_id}/cancel")
    assert {system.wait(job_id)["status"] for job_id in running} == {"CANCELLED"}
    assert system.wait(system.submit("await_effect", 0.01, 4))["attempt"] == 1
