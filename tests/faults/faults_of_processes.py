"""Faults of jobproc's own processes."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from rig.system import until

from faults.environment import LEASE_S, PROCESSES, WORKERS, LocalEnvironment
from faults.fault import fault


@fault(interrupts=True)
def worker_process_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F1: kill one process of a worker."""
    name, pid = environment.random_process(chance)
    os.kill(pid, signal.SIGKILL)
    until(
        "the process is replaced",
        lambda: pid not in (children := environment.system.children(name)) and len(children) == PROCESSES,
        20,
    )
    return f"process {pid} of {name}"


@fault(interrupts=True)
def worker_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F2: kill a worker with its processes; start it again within a lease."""
    name = chance.choice(WORKERS)
    environment.kill_group(name)
    time.sleep(chance.uniform(0, LEASE_S))
    environment.start_worker(name)
    return name


@fault(interrupts=True)
def worker_parent_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F2: kill the parent of a worker alone; its processes end too."""
    name = chance.choice(WORKERS)
    children = environment.system.children(name)
    environment.system.end(name, signal.SIGKILL)
    until("its processes have ended", lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()], 10)
    environment.start_worker(name)
    return f"{name} and {len(children)} processes"


@fault(interrupts=False)
def worker_terminated(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F3: SIGTERM; running jobs are finished, claimed ones that have not started are released."""
    name = chance.choice(WORKERS)
    code = environment.system.end(name, limit_s=15)
    environment.start_worker(name)
    return f"{name} ended with {code}" if code == 0 else None


@fault(interrupts=False)
def worker_terminated_with_short_grace(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F4: SIGTERM with a grace shorter than most jobs, so running jobs are released too."""
    name = chance.choice(WORKERS)
    environment.restart(name, JOBPROC_SHUTDOWN_GRACE_SECONDS="0.05")
    time.sleep(chance.uniform(0.2, 1))
    released_before = _released_attempts(environment)
    code = environment.system.end(name, limit_s=15)
    environment.start_worker(name)
    released = _released_attempts(environment) - released_before
    return f"{released} released" if code == 0 and released > 0 else None


def _released_attempts(environment: LocalEnvironment) -> int:
    return int(environment.system.database.value("SELECT count(*) FROM attempts WHERE outcome = 'released'"))


@fault(interrupts=True)
def worker_signalled_repeatedly(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F5: SIGTERM twice, SIGQUIT, SIGKILL, with random pauses."""
    name = chance.choice(WORKERS)
    for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            environment.system.kill(name, sign)
        time.sleep(chance.uniform(0, 0.3))
    environment.system.end(name, signal.SIGKILL)
    environment.start_worker(name)
    return name


@fault(interrupts=True)
def worker_frozen_past_its_lease(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F7: freeze a worker with its processes for longer than its lease, then resume it."""
    return _freeze(environment, [chance.choice(WORKERS)], LEASE_S * chance.uniform(1.5, 2.5))


@fault(interrupts=True)
def workers_frozen_past_their_leases(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F7, all workers: nobody claims their rescued jobs, so only the fence keeps the workers from settling them."""
    return _freeze(environment, WORKERS, LEASE_S * chance.uniform(1.5, 2.5))


def _freeze(environment: LocalEnvironment, names: Sequence[str], seconds: float) -> str | None:
    before = environment.lost_or_fenced()
    pids = [pid for name in names for pid in environment.group(name)]
    _signal(pids, signal.SIGSTOP)
    time.sleep(seconds)
    _signal(pids[::-1], signal.SIGCONT)
    with contextlib.suppress(AssertionError):
        until("an attempt is lost or fenced", lambda: environment.lost_or_fenced() > before, 5)
    count = environment.lost_or_fenced() - before
    return f"{count} attempts lost or fenced" if count > 0 else None


def _signal(pids: Sequence[int], sign: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a job has ended the process
            os.kill(pid, sign)


@fault(interrupts=False)
def api_killed(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """Kill the API."""
    environment.system.end("api", signal.SIGKILL)
    time.sleep(chance.uniform(0, 0.5))
    environment.start_api()
    return "started again"


@fault(interrupts=False)
def api_killed_after_a_commit(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F29: kill the API after a commit, before doorbell and response are sent."""
    trigger = environment.folder / "die-after-commit"
    environment.system.end("api")
    environment.start_api(JOBPROC_FAILPOINTS=f"submit.after_commit=kill@{trigger}")
    time.sleep(chance.uniform(0, 0.5))
    trigger.touch()
    try:
        code = environment.system.processes["api"].wait(10)
    finally:
        trigger.unlink(missing_ok=True)
    environment.start_api()
    return "killed by its failpoint" if code == -signal.SIGKILL else None


@fault(interrupts=False)
def api_frozen(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """Freeze the API at a random moment, then resume it."""
    environment.system.kill("api", signal.SIGSTOP)
    with environment.database_unavailable():  # statements and waits whose time limit passed meanwhile fail
        time.sleep(chance.uniform(0.5, 3))
        environment.system.kill("api", signal.SIGCONT)
    return "resumed"


@fault(interrupts=False)
def no_controller(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F44: no controller for a while."""
    environment.system.end("controller", signal.SIGKILL)
    time.sleep(chance.uniform(0.5, 4))
    environment.start_controller()
    return "started again"


@fault(interrupts=False)
def leader_frozen(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F44: freeze the leader until another controller leads, then resume it."""
    term = "SELECT max(term) FROM leaders"
    before = environment.system.database.value(term)
    environment.start_controller("other")
    environment.system.kill("controller", signal.SIGSTOP)
    time.sleep(chance.uniform(2, 4))
    environment.system.kill("controller", signal.SIGCONT)
    time.sleep(chance.uniform(0, 1))
    led = environment.system.database.value(term) > before
    environment.system.end("other")
    return "another controller led" if led else None
