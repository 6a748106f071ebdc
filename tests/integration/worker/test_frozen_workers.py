"""A worker that stands still for longer than its lease, then goes on."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rig.system import System, until


@contextmanager
def _frozen(system: System, name: str) -> Iterator[None]:
    """Stop a worker and its processes, then let them go on."""
    pids = [system.processes[name].pid, *system.children(name)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def test_the_late_result_of_a_frozen_worker_is_refused_and_the_second_attempt_stands(system: System) -> None:
    """It comes while the second attempt runs. Both return 1; whose result it is, the row of the attempt tells."""
    system.all()
    job_id = system.submit("effect", 1.0, 1)
    until("it has begun", lambda: len(system.effects()) == 1)
    with _frozen(system, "worker"):
        system.worker("other", concurrency=1)
        until("the second attempt has begun", lambda: len(system.effects()) == 2)
    refused = until("the late result has been refused", lambda: system.events("worker", "results_refused"))
    assert [event["count"] for event in refused] == [1]
    assert system.status(job_id) == "IN_PROGRESS"
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 1, 2)
    assert [one["outcome"] for one in job["attempts"]] == ["lost", "success"]
    begun = [line for line in system.effects() if line["phase"] == "begin"]
    assert [line["attempt"] for line in begun] == [1, 2]
    assert begun[1]["pid"] in system.children("other")
    _works_on_under_new_leases(system)


def _works_on_under_new_leases(system: System) -> None:
    """Hold that the same processes serve the next jobs: nobody restarts them."""
    pids = {line["pid"] for line in system.effects() if line["attempt"] == 1}
    assert pids <= set(system.children("worker"))
    assert system.end("other") == 0
    for _ in range(3):
        job = system.wait(system.submit("noop", 1), limit_s=10)
        assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert pids <= set(system.children("worker"))
    assert system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL AND alive_until > now()") >= 1


def test_progress_of_a_frozen_worker_is_not_written_over_that_of_its_successor(system: System) -> None:
    """Nor is its result: the one attempt that the operation has was charged when the lease ended."""
    system.all(JOBPROC_PROGRESS_SECONDS="0.01")
    job_id = system.submit("tell_progress", 0.25)
    until("progress is shown", lambda: system.job(job_id)["progress"])
    with _frozen(system, "worker"):
        until("it failed as lost: one attempt was all", lambda: system.status(job_id) == "FAILED")
        (system.folder / "go").touch()
    until("the late result has been refused", lambda: system.events("worker", "results_refused"))
    job = system.job(job_id)
    assert (job["status"], job["error"]["type"], job["progress"], job["result"]) == ("FAILED", "worker_lost", None, None)


def test_a_frozen_process_under_a_living_parent_keeps_its_job(system: System) -> None:
    """The lease is the worker's, renewed by its parent: what user code does to its own process does not end it."""
    system.all()
    job_id = system.submit("effect", 0.2, 1)
    pid = until("it has begun", system.effects)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    lease = system.database.one("SELECT alive_until FROM workers WHERE pid = %s", (pid,))
    until("the lease has been renewed past its first end", lambda: system.database.one("SELECT now() > %s::timestamptz + interval '1 s'", (lease,)), limit_s=6)
    os.kill(pid, signal.SIGCONT)
    job = system.wait(job_id)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert not system.events("worker", "results_refused")
