"""Drain (graceful shutdown): running jobs are finished within the grace, all others are released."""

import fcntl
import os
import signal
import sys
import termios
import time
from pathlib import Path

import pytest
from rig.system import System, until

from common.broker.doorbells import Doorbell
from common.settings import Settings

LONG_LEASE = {
    "JOBPROC_LEASE_SECONDS": "60",
    "JOBPROC_BATCH_MAX_SECONDS": "60",
    "JOBPROC_BATCH_TARGET_MILLISECONDS": "10000",
}


def _start_batch(
    system: System, seconds: float, others: int = 0, concurrency: int = 1, **settings: str
) -> tuple[str, list[str]]:
    """Start a worker that claims a long job and `others` in one batch. Return their ids once the long job runs."""
    system.env.update(LONG_LEASE | settings)
    system.worker(concurrency=concurrency).api()
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))
    first, *rest = system.submit_many("effect", [[seconds, 7], *[[0.001, n] for n in range(others)]])
    until("the long job runs", lambda: any(line["job"] == first for line in system.effects()))
    assert system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 1 + others
    return first, rest


@pytest.mark.parametrize(
    ("sign", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGTERM, True), (signal.SIGHUP, False), (signal.SIGHUP, True)],
    ids=["to the parent", "to every process, as systemd and many shells do", "hangup", "hangup of a terminal"],
)
def test_the_running_job_is_finished_and_unstarted_jobs_are_released_uncharged(
    system: System, sign: signal.Signals, to_all: bool
) -> None:
    first, rest = _start_batch(system, 0.6, others=10)
    claims = system.database.value("SELECT sum(attempt) FROM live")
    process = system.processes["worker"]
    if to_all:
        for pid in [process.pid, *system.children()]:
            os.kill(pid, sign)
    else:
        process.send_signal(sign)
    later = system.submit("effect", 0.001, 0)
    assert process.wait(8) == 0
    job = system.job(first)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 7, 1)
    for job_id in rest:
        job = system.job(job_id)
        assert job["status"] == "PENDING"
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["released"]
    assert system.database.rows("SELECT DISTINCT attempt - released FROM live") == [(0,)]  # charged attempts
    assert system.job(later)["attempt"] == 0
    assert system.database.value("SELECT sum(attempt) FROM live WHERE id <> %s", (later,)) == claims - 1
    assert system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0
    started = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert started.count(first) == 1
    assert not set(started) & {later, *rest}


def test_a_job_longer_than_the_grace_is_released_uncharged_and_the_worker_ends_in_time(system: System) -> None:
    """The grace is a second. An operation that does not return does not delay the end of the worker."""
    long, rest = _start_batch(system, 60, others=5, JOBPROC_SHUTDOWN_GRACE_SECONDS="1")
    signalled_at = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert 1.0 <= time.monotonic() - signalled_at < 4
    for job_id in [long, *rest]:
        job = system.job(job_id)
        assert job["status"] == "PENDING"
        assert [attempt["outcome"] for attempt in job["attempts"]] == ["released"]
        assert job["attempts"][0]["retry_at"] <= job["attempts"][0]["finished_at"]
    assert system.database.rows("SELECT DISTINCT attempt - released FROM live") == [(0,)]  # charged attempts
    assert system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0


def test_an_idle_worker_ends_at_once(system: System) -> None:
    system.worker()
    signalled_at = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert time.monotonic() - signalled_at < 4
    assert system.database.value("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0
    assert not system.events("worker", "supervisor_failed")


def _unread_bytes(pid: int) -> int:
    """Return the number of unread bytes in the pipes that a process has open."""
    total = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if str(link.readlink()).startswith("pipe:"):
            pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
            total += int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
            os.close(pipe)
    return total


def test_a_process_with_an_unread_doorbell_does_not_wait_for_its_draining_parent(
    system: System, settings: Settings
) -> None:
    system.worker(concurrency=1)
    (child,) = system.children()
    os.kill(child, signal.SIGSTOP)
    before = _unread_bytes(child)
    Doorbell(settings).ring("default")
    until("the doorbell is in the pipe", lambda: _unread_bytes(child) > before)
    system.kill("worker", signal.SIGTERM)
    with_doorbell = _unread_bytes(child)
    until("the message to end is behind the doorbell", lambda: _unread_bytes(child) > with_doorbell)
    signalled_at = time.monotonic()
    os.kill(child, signal.SIGCONT)
    assert system.end("worker", limit_s=15) == 0
    assert time.monotonic() - signalled_at < 4
    assert not system.events("worker", "process_killed")


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_repeated_signals_change_nothing(system: System, signals: list[signal.Signals]) -> None:
    """An impatient process manager or a second Ctrl-C: the running job is still finished, once."""
    first, rest = _start_batch(system, 0.8, others=3)
    for signum in signals:
        system.kill("worker", signum)
        time.sleep(0.1)  # two signals at the same moment are one
    exit_code = system.processes["worker"].wait(8)
    assert exit_code == 0 or signal.SIGINT in signals
    job = system.job(first)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert {system.job(job_id)["status"] for job_id in rest} == {"PENDING"}
    assert system.database.value("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 0


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT]])
def test_a_forced_shutdown_releases_every_job_to_other_workers(system: System, signals: list[signal.Signals]) -> None:
    """The worker does not finish the running job, but releases it uncharged as it does the others."""
    first, rest = _start_batch(system, 60, others=3, JOBPROC_SHUTDOWN_GRACE_SECONDS="1")
    for signum in signals:
        system.kill("worker", signum)
        time.sleep(0.1)  # two signals at the same moment are one
    system.processes["worker"].wait(8)
    system.worker("next", JOBPROC_BATCH_MAX_SECONDS="0.3").controller()
    until(
        "the other jobs have succeeded", lambda: all(system.status(job_id) == "SUCCESS" for job_id in rest), limit_s=10
    )
    until("the long job runs again", lambda: system.job(first)["attempt"] == 2, limit_s=10)
    first_outcomes = {attempt["outcome"] for job_id in [first, *rest] for attempt in system.job(job_id)["attempts"][:1]}
    assert first_outcomes == {"released"}
