"""Crashes of worker processes and workers: charged attempts, released jobs, replaced processes."""

import contextlib
import os
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from rig.system import System, until

#: Leases are long, so that jobs released by the parent are not mistaken for jobs rescued at the end of a lease.
LONG_LEASES = {
    "JOBPROC_LEASE_SECONDS": "60",
    "JOBPROC_HEARTBEAT_SECONDS": "0.4",
    "JOBPROC_BATCH_MAX_SECONDS": "60",
    "JOBPROC_BATCH_TARGET_MILLISECONDS": "10000",
}


def _learn(system: System) -> None:
    """Run quick jobs, so that the next claim of the only process takes a batch."""
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))


def _wait_for_process(system: System, job_id: str) -> int:
    """Wait until a job runs; return the id of its process."""
    lines = until(
        "the job runs",
        lambda: [line for line in system.effects() if line["job"] == job_id and line["phase"] == "begin"],
    )
    return int(lines[-1]["pid"])


def test_a_crash_is_charged_to_the_running_job_and_to_no_other_job_of_the_batch(system: System) -> None:
    """The parent releases the other jobs of the batch at once, long before the lease would end."""
    system.env.update(LONG_LEASES)
    system.worker(concurrency=1).api()
    _learn(system)
    killed, *others = system.submit_many("effect", [[1.0, 7], *[[0.001, n] for n in range(20)]])
    pid = _wait_for_process(system, killed)
    held = system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL")
    assert held == 21
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    system.wait_all(limit_s=10)
    assert time.monotonic() - killed_at < 10  # a sixth of the lease
    job = system.job(killed)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 7, 2)
    assert [(attempt["outcome"], (attempt["error"] or {}).get("type")) for attempt in job["attempts"]] == [
        ("lost", "worker_lost"),
        ("success", None),
    ]
    for number, job_id in enumerate(others):
        job = system.job(job_id)
        assert (job["status"], job["result"]) == ("SUCCESS", number)
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["released", "success"]
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert started.count(killed) == 2
    assert all(started.count(job_id) == 1 for job_id in others)


def test_processes_of_a_killed_worker_end_with_it_and_the_controller_rescues_their_jobs(system: System) -> None:
    """No job is rescued before the lease has ended; then another worker runs them."""
    system.all()
    running = system.submit_many("effect", [[30, 1], [30, 2]])
    pids = {_wait_for_process(system, job_id) for job_id in running}
    killed_at = time.monotonic()
    system.kill("worker")
    until("the processes of the worker have ended", lambda: not any(_exists(pid) for pid in pids), limit_s=2)
    system.worker("other")
    until("both jobs run again", lambda: all(system.job(job_id)["attempt"] == 2 for job_id in running), limit_s=10)
    assert 1.5 < time.monotonic() - killed_at < 8  # a lease of 2 s, renewed every 0.4 s, and a tick
    for job_id in running:
        assert [attempt["outcome"] for attempt in system.job(job_id)["attempts"]] == ["lost"]
    workers = dict(system.database.rows("SELECT pid, ended_at IS NOT NULL FROM workers"))
    assert all(workers[pid] for pid in pids)


def _exists(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_job_that_crashes_in_each_attempt_fails_at_its_last_one_and_no_other_job_fails(
    system: System,
) -> None:
    system.env.update(LONG_LEASES)
    system.worker(concurrency=2).api().controller()
    parent = system.processes["worker"].pid
    poison = system.submit("die_times", 99, signal.SIGSEGV)
    others = system.submit_many("effect", [[0.01, n] for n in range(30)])
    job = system.wait(poison)
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "worker_lost", 3)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "lost", "failed"]
    assert [line["phase"] for line in system.effects() if line["job"] == poison] == ["die"] * 3
    system.wait_all()
    for number, job_id in enumerate(others):
        job = system.job(job_id)
        assert (job["status"], job["result"]) == ("SUCCESS", number)
        assert not any(attempt["outcome"] == "lost" for attempt in job["attempts"])
    assert system.processes["worker"].pid == parent
    assert system.processes["worker"].poll() is None
    until("the worker has two processes again", lambda: len(system.children()) == 2)
    assert system.wait(system.submit("die_times", 1))["result"] == 2


def _has_newer(system: System, worker: int) -> bool:
    """Return True if a worker process has registered after this one."""
    return bool(system.database.value("SELECT max(id) FROM workers") > worker)


def test_a_crashed_process_is_replaced_within_a_second(system: System) -> None:
    """Jobs of a worker's only process wait for the replacement."""
    system.worker(concurrency=1)
    for _ in range(5):
        (pid,) = until("a process runs", system.children)
        registered = system.database.value("SELECT max(id) FROM workers")
        os.kill(pid, signal.SIGKILL)
        until("the replacement has registered", partial(_has_newer, system, registered), limit_s=1)
        until(
            "the crashed process is recovered",
            lambda: system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 1,
            limit_s=1,
        )


@pytest.mark.parametrize(
    ("failpoint", "while_running"),
    [
        ("claim.after_commit", False),
        ("attempt.before_operation", False),
        ("attempt.after_operation", False),
        ("settle.before_commit", True),
        ("settle.after_commit", True),
    ],
)
def test_a_crash_at_any_step_of_a_job_loses_no_job_and_doubles_no_effect(
    system: System, failpoint: str, while_running: bool, tmp_path: Path
) -> None:
    """The process is killed once at the failpoint. Every job succeeds once; only a running job is charged."""
    once = tmp_path / "once"
    system.env.update(LONG_LEASES)
    system.worker(concurrency=1, JOBPROC_FAILPOINTS=f"{failpoint}=kill@{once}").api().controller()
    _learn(system)
    if not while_running:
        once.touch()
    jobs = system.submit_many("effect", [[0.3, 0], *[[0.001, n] for n in range(1, 20)]])
    if while_running:
        _wait_for_process(system, jobs[0])
        once.touch()
    until("the process was killed", lambda: not once.exists())
    system.wait_all(limit_s=15)
    assert system.database.rows(
        "SELECT status, count(*) FROM outcomes WHERE id = ANY(%s::uuid[]) GROUP BY 1", (jobs,)
    ) == [("SUCCESS", 20)]
    charged = system.database.rows("SELECT id::text FROM attempts WHERE outcome <> 'released'")
    assert charged == ([(jobs[0],)] if failpoint.startswith("attempt.") else [])
    starts = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    for number, job_id in enumerate(jobs):
        job = system.job(job_id)
        assert job["result"] == number
        assert 1 <= starts.count(job_id) <= job["attempt"] <= 2
    if failpoint == "settle.after_commit":  # committed results are not computed again
        assert len(starts) == 3 + 20
    until("the process is recovered", lambda: len(system.events("worker", "process_recovered")) == 1)
