"""Processes that are killed: who is charged, who goes on, how soon."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from rig.system import System, until

#: Long leases: what a parent gives back at once must not be mistaken for what a lease gives back in the end.
PATIENT = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_HEARTBEAT_SECONDS": "0.4", "JOBPROC_SETTLE_EARLY_SECONDS": "60", "JOBPROC_BATCH_MILLISECONDS": "10000"}


def _learn(system: System) -> None:
    """Let the only process find out that jobs are quick, so that its next claim takes a batch."""
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))


def _running_in(system: System, job_id: str) -> int:
    """Return the process that runs a job, once it does."""
    lines = until("the job has begun", lambda: [line for line in system.effects() if line["job"] == job_id and line["phase"] == "begin"])
    return int(lines[-1]["pid"])


def test_the_death_of_a_process_is_charged_to_the_job_it_ran_and_to_no_neighbour(system: System) -> None:
    """The batch's other jobs are given back by the parent at once, long before the lease would end."""
    system.env.update(PATIENT)
    system.worker(concurrency=1).api()
    _learn(system)
    killed, *neighbours = system.submit_many("effect", [[1.0, 7], *[[0.001, n] for n in range(20)]])
    pid = _running_in(system, killed)
    held = system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL")
    assert held == 21
    os.kill(pid, signal.SIGKILL)
    died = time.monotonic()
    system.wait_all(limit_s=10)
    assert time.monotonic() - died < 10  # a sixth of the lease
    job = system.job(killed)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 7, 2)
    assert [(one["outcome"], (one["error"] or {}).get("type")) for one in job["attempts"]] == [("lost", "worker_lost"), ("success", None)]
    for number, job_id in enumerate(neighbours):
        job = system.job(job_id)
        assert (job["status"], job["result"]) == ("SUCCESS", number)
        assert [one["outcome"] for one in job["attempts"]] == ["released", "success"]
    begun = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert begun.count(killed) == 2
    assert all(begun.count(job_id) == 1 for job_id in neighbours)


def test_a_whole_worker_killed_takes_its_processes_along_and_the_controller_gives_its_jobs_back(system: System) -> None:
    """Nothing is given back before the lease has ended; then other workers run them."""
    system.all()
    running = system.submit_many("effect", [[30, 1], [30, 2]])
    pids = {_running_in(system, job_id) for job_id in running}
    killed = time.monotonic()
    system.kill("worker")
    until("its processes have died with it", lambda: not any(_exists(pid) for pid in pids), limit_s=2)
    system.worker("other")
    until("both run again", lambda: all(system.job(job_id)["attempt"] == 2 for job_id in running), limit_s=10)
    assert 1.5 < time.monotonic() - killed < 8  # a lease of 2 s, renewed every 0.4 s, and a tick
    for job_id in running:
        assert [one["outcome"] for one in system.job(job_id)["attempts"]] == ["lost"]
    workers = dict(system.database.rows("SELECT pid, ended_at IS NOT NULL FROM workers"))
    assert all(workers[pid] for pid in pids)


def _exists(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_job_that_kills_its_process_each_time_fails_at_its_last_attempt_and_takes_nobody_along(system: System) -> None:
    system.env.update(PATIENT)
    system.worker(concurrency=2).api().controller()
    parent = system.processes["worker"].pid
    poison = system.submit("die_times", 99, signal.SIGSEGV)
    neighbours = system.submit_many("effect", [[0.01, n] for n in range(30)])
    job = system.wait(poison)
    assert (job["status"], job["error"]["type"], job["attempt"]) == ("FAILED", "worker_lost", 3)
    assert [one["outcome"] for one in job["attempts"]] == ["lost", "lost", "failed"]
    assert [line["phase"] for line in system.effects() if line["job"] == poison] == ["die"] * 3
    system.wait_all()
    for number, job_id in enumerate(neighbours):
        job = system.job(job_id)
        assert (job["status"], job["result"]) == ("SUCCESS", number)
        assert not any(one["outcome"] == "lost" for one in job["attempts"])
    assert system.processes["worker"].pid == parent
    assert system.processes["worker"].poll() is None
    until("the pool is whole again", lambda: len(system.children()) == 2)
    assert system.wait(system.submit("die_times", 1))["result"] == 2


def test_a_process_that_dies_is_replaced_within_a_second(system: System) -> None:
    """However it dies: the jobs that it held wait for the replacement when it was the only one."""
    system.worker(concurrency=1)
    for _ in range(5):
        (pid,) = until("there is a process", system.children)
        registered = system.database.one("SELECT max(id) FROM workers")
        os.kill(pid, signal.SIGKILL)
        until("another has registered", lambda: system.database.one("SELECT max(id) FROM workers") > registered, limit_s=1)  # noqa: B023 - called at once
        until("the dead one has been buried", lambda: system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 1, limit_s=1)


@pytest.mark.parametrize(
    ("place", "while_running"),
    [
        ("claim.after_commit", False),
        ("run.before_effect", False),
        ("run.after_effect", False),
        ("settle.before_commit", True),
        ("settle.after_commit", True),
    ],
)
def test_death_at_any_place_on_the_way_of_a_job_loses_and_doubles_nothing(system: System, place: str, while_running: bool, tmp_path: Path) -> None:
    """Killed once in exactly that place. Every job succeeds once; only a job that was running is charged."""
    once = tmp_path / "once"
    system.env.update(PATIENT)
    system.worker(concurrency=1, JOBPROC_FAILPOINTS=f"{place}=kill@{once}").api().controller()
    _learn(system)
    if not while_running:
        once.touch()
    jobs = system.submit_many("effect", [[0.3, 0], *[[0.001, n] for n in range(1, 20)]])
    if while_running:
        _running_in(system, jobs[0])
        once.touch()
    until("it was killed", lambda: not once.exists())
    system.wait_all(limit_s=15)
    assert system.database.rows("SELECT status, count(*) FROM outcomes WHERE id = ANY(%s::uuid[]) GROUP BY 1", (jobs,)) == [("SUCCESS", 20)]
    charged = system.database.rows("SELECT id::text FROM attempts WHERE ended <> 'released'")
    assert charged == ([(jobs[0],)] if place.startswith("run.") else [])
    effects = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    for number, job_id in enumerate(jobs):
        job = system.job(job_id)
        assert job["result"] == number
        assert 1 <= effects.count(job_id) <= job["attempt"] <= 2
    if place == "settle.after_commit":  # what was stored is not run again
        assert len(effects) == 3 + 20
    assert len(system.events("worker", "process_buried")) == 1
