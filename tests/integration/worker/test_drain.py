"""Leaving: what a worker does with its jobs when it is told to end."""

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

LONG_LEASE = {"JOBPROC_LEASE_SECONDS": "60", "JOBPROC_SETTLE_EARLY_SECONDS": "60", "JOBPROC_BATCH_MILLISECONDS": "10000"}


def _started(system: System, seconds: float, others: int = 0, concurrency: int = 1, **settings: str) -> tuple[str, list[str]]:
    """Start a worker and give it a batch: one job of so many seconds, and others behind it. Returns when the one runs."""
    system.env.update(LONG_LEASE | settings)
    system.worker(concurrency=concurrency).api()
    for _ in range(3):
        system.wait(system.submit("effect", 0.001, 0))
    first, *rest = system.submit_many("effect", [[seconds, 7], *[[0.001, n] for n in range(others)]])
    until("it runs", lambda: any(line["job"] == first for line in system.effects()))
    assert system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 1 + others
    return first, rest


@pytest.mark.parametrize("to_all", [False, True], ids=["to the parent", "to every process, as systemd and many shells do"])
def test_the_running_job_is_finished_and_the_unstarted_ones_are_given_back_uncharged(system: System, to_all: bool) -> None:
    first, rest = _started(system, 0.6, others=10)
    claims = system.database.one("SELECT sum(attempt) FROM live")
    process = system.processes["worker"]
    if to_all:
        for pid in [process.pid, *system.children()]:
            os.kill(pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGTERM)
    later = system.submit("effect", 0.001, 0)
    assert process.wait(8) == 0
    job = system.job(first)
    assert (job["status"], job["result"], job["attempt"]) == ("SUCCESS", 7, 1)
    for job_id in rest:
        job = system.job(job_id)
        assert job["status"] == "PENDING"
        assert [one["outcome"] for one in job["attempts"]] == ["released"]
    assert system.database.rows("SELECT DISTINCT attempt - released FROM live") == [(0,)]  # what counts against max_attempts
    assert system.job(later)["attempt"] == 0
    assert system.database.one("SELECT sum(attempt) FROM live WHERE id <> %s", (later,)) == claims - 1
    assert system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0
    begun = [line["job"] for line in system.effects() if line["phase"] == "begin"]
    assert begun.count(first) == 1
    assert not set(begun) & {later, *rest}


def test_a_job_longer_than_the_grace_is_given_back_uncharged_and_the_worker_ends_in_time(system: System) -> None:
    """The grace is a second; an operation that holds on to its process does not hold up the end."""
    long, rest = _started(system, 60, others=5, JOBPROC_GRACE_SECONDS="1")
    told = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert 1.0 <= time.monotonic() - told < 4
    for job_id in [long, *rest]:
        job = system.job(job_id)
        assert job["status"] == "PENDING"
        assert [one["outcome"] for one in job["attempts"]] == ["released"]
        assert job["attempts"][0]["retry_at"] <= job["attempts"][0]["ended_at"]
    assert system.database.rows("SELECT DISTINCT attempt - released FROM live") == [(0,)]  # what counts against max_attempts
    assert system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0


def test_an_idle_worker_ends_at_once(system: System) -> None:
    system.worker()
    told = time.monotonic()
    assert system.end("worker", limit_s=8) == 0
    assert time.monotonic() - told < 4
    assert system.database.one("SELECT count(*) FROM workers WHERE ended_at IS NULL") == 0
    assert not system.events("worker", "lease_watch_failed")


def _unread(pid: int) -> int:
    """Return how many bytes lie in the pipes that a process has open."""
    total = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if str(link.readlink()).startswith("pipe:"):
            pipe = os.open(link, os.O_RDONLY | os.O_NONBLOCK)
            total += int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
            os.close(pipe)
    return total


def test_a_process_with_an_unread_doorbell_does_not_wait_for_a_parent_that_reads_no_more(system: System, settings: Settings) -> None:
    system.worker(concurrency=1)
    (child,) = system.children()
    os.kill(child, signal.SIGSTOP)
    before = _unread(child)
    Doorbell(settings).ring("default")
    until("the doorbell lies in its pipe", lambda: _unread(child) > before)
    system.kill("worker", signal.SIGTERM)
    doorbell = _unread(child)
    until("the word to end lies behind it", lambda: _unread(child) > doorbell)
    told = time.monotonic()
    os.kill(child, signal.SIGCONT)
    assert system.end("worker", limit_s=15) == 0
    assert time.monotonic() - told < 4
    assert not system.events("worker", "process_ended")


@pytest.mark.parametrize("signals", [[signal.SIGTERM, signal.SIGTERM, signal.SIGTERM], [signal.SIGINT, signal.SIGTERM]])
def test_being_told_again_changes_nothing(system: System, signals: list[signal.Signals]) -> None:
    """An impatient supervisor, or a Ctrl-C that reaches the worker too: the running job is still finished, once."""
    first, rest = _started(system, 0.8, others=3)
    for sign in signals:
        system.kill("worker", sign)
        time.sleep(0.1)  # two signals at the same moment are one
    code = system.processes["worker"].wait(8)
    assert code == 0 or signal.SIGINT in signals
    job = system.job(first)
    assert (job["status"], job["attempt"]) == ("SUCCESS", 1)
    assert {system.job(job_id)["status"] for job_id in rest} == {"PENDING"}
    assert system.database.one("SELECT count(*) FROM live WHERE worker IS NOT NULL") == 0


@pytest.mark.parametrize("signals", [[signal.SIGINT, signal.SIGINT], [signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT]])
def test_any_way_of_ending_it_leaves_every_job_to_be_run_by_others(system: System, signals: list[signal.Signals]) -> None:
    """Told more firmly, it does not finish the running job; but it gives back that one too, uncharged."""
    first, rest = _started(system, 60, others=3, JOBPROC_GRACE_SECONDS="1")
    for sign in signals:
        system.kill("worker", sign)
        time.sleep(0.1)  # two signals at the same moment are one
    system.processes["worker"].wait(8)
    system.worker("next", JOBPROC_SETTLE_EARLY_SECONDS="0.3").controller()
    until("the others have run", lambda: all(system.status(job_id) == "SUCCESS" for job_id in rest), limit_s=10)
    until("the long one runs again", lambda: system.job(first)["attempt"] == 2, limit_s=10)
    charged = {one["outcome"] for job_id in [first, *rest] for one in system.job(job_id)["attempts"][:1]}
    assert charged == {"released"}
