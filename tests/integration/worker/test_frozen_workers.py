"""Workers frozen for longer than their lease, then resumed."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from rig.system import System, until


@contextmanager
def _frozen(system: System, name: str) -> Iterator[None]:
    """Stop a worker and its processes; resume them at the end of the block."""
    pids = [system.processes[name].pid, *system.children(name)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


def test_the_late_result_of_a_frozen_worker_is_fenced_and_that_of_the_second_attempt_is_stored(system: System) -> None:
    """The late result arrives while the second attempt runs. Both are 1; the row shows which attempt it is from."""
    system.all()
    job_id = system.submit("effect", 1.0, 1)
    until("the job runs", lambda: len(system.effects()) == 1)
    with _frozen(system, "worker"):
        system.worker("other", concurrency=1)
        until("the second attempt runs", lambda: len(system.effects()) == 2)
    fenced = until("the late result is fenced", lambda: system.events("worker", "results_fenced"))
    assert [event["count"] for event in fenced] == [1]
    assert system.status(job_id) == "IN_PROGRESS"
    job = system.wait(job_id)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 1, 2)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["lost", "success"]
    begins = [line for line in system.effects() if line["phase"] == "begin"]
    assert [line["attempt"] for line in begins] == [1, 2]
    assert begins[1]["pid"] in system.children("other")
    _check_that_same_processes_run_jobs(system)


def _check_that_same_processes_run_jobs(system: System) -> None:
    """Fail unless the processes of the first attempts run the next jobs, under new leases and without a restart."""
    pids = {line["pid"] for line in system.effects() if line["attempt"] == 1}
    assert pids <= set(system.children("worker"))
    assert system.end("other") == 0
    for _ in range(3):
        job = system.wait(system.submit("noop", 1), limit_s=10)
        assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert pids <= set(system.children("worker"))
    assert system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL AND alive_until > now()") >= 1


def test_late_progress_and_result_of_a_frozen_worker_are_not_stored(system: System) -> None:
    """The operation has a single attempt, which was charged when the lease ended."""
    system.all(JOBPROC_PROGRESS_MIN_INTERVAL_SECONDS="0.01")
    job_id = system.submit("tell_progress", 0.25)
    until("progress is shown", lambda: system.job(job_id)["progress"])
    with _frozen(system, "worker"):
        until("the job failed after its only attempt", lambda: system.status(job_id) == "FAILED")
        (system.folder / "go").touch()
    until("the late result is fenced", lambda: system.events("worker", "results_fenced"))
    job = system.job(job_id)
    assert (job["status"], job["error"]["type"], job["progress"], job["result"]) == (
        "FAILED",
        "worker_lost",
        None,
        None,
    )


def test_a_frozen_process_with_a_running_parent_keeps_its_job(system: System) -> None:
    """The parent renews the lease, so user code that freezes its own process does not end it."""
    system.all()
    job_id = system.submit("effect", 0.2, 1)
    pid = until("the job runs", system.effects)[0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    lease = system.database.value("SELECT alive_until FROM workers WHERE pid = %s", (pid,))
    until(
        "the lease is renewed past its first end",
        lambda: system.database.value("SELECT now() > %s::timestamptz + interval '1 s'", (lease,)),
        limit_s=6,
    )
    os.kill(pid, signal.SIGCONT)
    job = system.wait(job_id)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert not system.events("worker", "results_fenced")
