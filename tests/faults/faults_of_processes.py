"""Faults of jobproc's own processes."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Sequence

from rig.system import until

from faults.environment import LEASE_S, PROCESSES, WORKERS, Place
from faults.fault import fault


@fault(interrupts=True)
def worker_process_killed(place: Place, chance: random.Random) -> str | None:
    """F1: SIGKILL of one process of a worker."""
    name, pid = place.a_process(chance)
    os.kill(pid, signal.SIGKILL)
    until("it is replaced", lambda: pid not in (now := place.system.children(name)) and len(now) == PROCESSES, 20)
    return f"process {pid} of {name}"


@fault(interrupts=True)
def worker_killed(place: Place, chance: random.Random) -> str | None:
    """F2: SIGKILL of a worker with its processes; another one comes after a while."""
    name = chance.choice(WORKERS)
    place.kill_group(name)
    time.sleep(chance.uniform(0, LEASE_S))
    place.start_worker(name)
    return name


@fault(interrupts=True)
def worker_parent_killed(place: Place, chance: random.Random) -> str | None:
    """F2: SIGKILL of the parent alone: its processes end with it."""
    name = chance.choice(WORKERS)
    children = place.system.children(name)
    place.system.end(name, signal.SIGKILL)
    until("its processes are gone", lambda: not [pid for pid in children if os.path.exists(f"/proc/{pid}")], 10)  # noqa: PTH110 - of a process
    place.start_worker(name)
    return f"{name} and {len(children)} processes"


@fault(interrupts=False)
def worker_told_to_end(place: Place, chance: random.Random) -> str | None:
    """F3: SIGTERM; what runs is finished, what waits is given back."""
    name = chance.choice(WORKERS)
    code = place.system.end(name, limit_s=15)
    place.start_worker(name)
    return f"{name} ended with {code}" if code == 0 else None


@fault(interrupts=False)
def worker_told_to_end_at_once(place: Place, chance: random.Random) -> str | None:
    """F4: SIGTERM with a grace shorter than most jobs: what runs is given back too."""
    name = chance.choice(WORKERS)
    place.start_again(name, JOBPROC_GRACE_SECONDS="0.05")
    time.sleep(chance.uniform(0.2, 1))
    before = _given_back(place)
    code = place.system.end(name, limit_s=15)
    place.start_worker(name)
    return f"{_given_back(place) - before} given back" if code == 0 and _given_back(place) > before else None


def _given_back(place: Place) -> int:
    return int(place.system.database.one("SELECT count(*) FROM attempts WHERE ended = 'released'"))


@fault(interrupts=True)
def worker_told_again_and_again(place: Place, chance: random.Random) -> str | None:
    """F5: SIGTERM twice, SIGQUIT, SIGKILL, with pauses by chance."""
    name = chance.choice(WORKERS)
    for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGQUIT):
        with contextlib.suppress(ProcessLookupError):
            place.system.kill(name, sign)
        time.sleep(chance.uniform(0, 0.3))
    place.system.end(name, signal.SIGKILL)
    place.start_worker(name)
    return name


@fault(interrupts=True)
def worker_frozen_past_its_lease(place: Place, chance: random.Random) -> str | None:
    """F7: SIGSTOP of a worker with its processes for more than its lease, then SIGCONT."""
    return _frozen(place, [chance.choice(WORKERS)], LEASE_S * chance.uniform(1.5, 2.5))


@fault(interrupts=True)
def workers_frozen_past_their_leases(place: Place, chance: random.Random) -> str | None:
    """F7, of all workers: what they ran is given back and waits, so it is theirs to settle again, but for the fence."""
    return _frozen(place, WORKERS, LEASE_S * chance.uniform(1.5, 2.5))


def _frozen(place: Place, names: Sequence[str], seconds: float) -> str | None:
    before, group = place.lost(), [pid for name in names for pid in place.group(name)]
    _signal(group, signal.SIGSTOP)
    time.sleep(seconds)
    _signal(group[::-1], signal.SIGCONT)
    with contextlib.suppress(AssertionError):
        until("an attempt is lost", lambda: place.lost() > before, 5)
    return f"{place.lost() - before} attempts lost or refused" if place.lost() > before else None


def _signal(pids: Sequence[int], sign: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # a job has ended it
            os.kill(pid, sign)


@fault(interrupts=False)
def api_killed(place: Place, chance: random.Random) -> str | None:
    """SIGKILL of the API."""
    place.system.end("api", signal.SIGKILL)
    time.sleep(chance.uniform(0, 0.5))
    place.start_api()
    return "started again"


@fault(interrupts=False)
def api_killed_after_a_commit(place: Place, chance: random.Random) -> str | None:
    """F29: it dies when jobs are stored and neither doorbell nor answer is sent."""
    mark = place.folder / "die-after-commit"
    place.system.end("api")
    place.start_api(JOBPROC_FAILPOINTS=f"submit.after_commit=kill@{mark}")
    time.sleep(chance.uniform(0, 0.5))
    mark.touch()
    try:
        code = place.system.processes["api"].wait(10)
    finally:
        mark.unlink(missing_ok=True)
    place.start_api()
    return "killed by itself" if code == -signal.SIGKILL else None


@fault(interrupts=False)
def api_frozen(place: Place, chance: random.Random) -> str | None:
    """SIGSTOP of the API, in the middle of whatever, then SIGCONT."""
    place.system.kill("api", signal.SIGSTOP)
    with place.database_away():  # a statement or a wait whose time went by in its sleep has failed
        time.sleep(chance.uniform(0.5, 3))
        place.system.kill("api", signal.SIGCONT)
    return "it went on"


@fault(interrupts=False)
def no_controller(place: Place, chance: random.Random) -> str | None:
    """F44: none for a while."""
    place.system.end("controller", signal.SIGKILL)
    time.sleep(chance.uniform(0.5, 4))
    place.start_controller()
    return "started again"


@fault(interrupts=False)
def leader_frozen(place: Place, chance: random.Random) -> str | None:
    """F44: the leader stands still, another one takes over, the old one goes on."""
    term = "SELECT max(term) FROM leaders"
    before = place.system.database.one(term)
    place.start_controller("other")
    place.system.kill("controller", signal.SIGSTOP)
    time.sleep(chance.uniform(2, 4))
    place.system.kill("controller", signal.SIGCONT)
    time.sleep(chance.uniform(0, 1))
    led = place.system.database.one(term) > before
    place.system.end("other")
    return "another one led" if led else None
