"""Memory, files, disk and clocks that give out or go wrong."""

import contextlib
import os
import random
import resource
import time
from pathlib import Path

from rig.clock import CLOCKS
from rig.system import until

from faults.clients import SWOLLEN_MIB
from faults.environment import DISK_MIB, WORKERS, Place
from faults.fault import fault


@fault(interrupts=True)
def worker_out_of_memory(place: Place, chance: random.Random) -> str | None:
    """F6: a process of a worker may take little more memory than it has."""
    name, pid = place.a_process(chance)
    before = _memory_errors(place)
    taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    was = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (taken + (int(SWOLLEN_MIB) << 19), was[1]))
    with contextlib.suppress(AssertionError):
        until("an attempt meets it", lambda: _memory_errors(place) > before, 10)
    if Path(f"/proc/{pid}").exists():
        resource.prlimit(pid, resource.RLIMIT_AS, was)
    failed = _memory_errors(place) - before
    return f"{failed} attempts of {name}" if failed else None


def _memory_errors(place: Place) -> int:
    return int(place.system.database.one("SELECT count(*) FROM attempts WHERE error_type = 'MemoryError'"))


@fault(interrupts=False)
def api_out_of_files(place: Place, chance: random.Random) -> str | None:
    """F51: the API may open no further file or connection."""
    pid = place.system.processes["api"].pid
    was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with place.database_away():  # it may not reach it anew
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{pid}/fd")), was[1]))  # noqa: PTH208 - of a process
        place.end_connections()
        time.sleep(chance.uniform(0.5, 2))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
    return "it went on"


@fault(interrupts=True)
def disk_full(place: Place, chance: random.Random) -> str | None:
    """F24: PostgreSQL's disk is full, later there is room again."""
    assert place.disk is not None, "see Place.absent"
    filler, complaints = place.disk / "filler", place.folder / "postgres.log"

    def complained() -> int:
        return complaints.read_text(errors="replace").count("No space left on device")

    before = complained()
    with place.database_away():
        with filler.open("wb") as file, contextlib.suppress(OSError):
            for mib in range(DISK_MIB):
                os.posix_fallocate(file.fileno(), mib << 20, 1 << 20)
        with contextlib.suppress(AssertionError):
            until("it needs some", lambda: complained() > before, 15)
        time.sleep(chance.uniform(0, 2))
        filler.unlink()
        if place.postgres.process is not None and place.postgres.process.poll() is not None:  # it could not recover, and ended
            place.postgres.start()
        until("it answers", lambda: place.system.database.one("SELECT 1"))
    return f"{complained() - before} times no space" if complained() > before else None


@fault(interrupts=True)
def clock_wrong(place: Place, chance: random.Random) -> str | None:
    """F33: the clock of one process, and its children's, is minutes off; only the clock that is not monotonic."""
    name, minutes = chance.choice([*WORKERS, "api", "controller"]), chance.choice([-10, 10])
    assert CLOCKS is not None, "see Place.absent"
    place.start_again(name, LD_PRELOAD=CLOCKS, FAKETIME=f"{minutes:+}m", FAKETIME_DONT_FAKE_MONOTONIC="1")
    time.sleep(chance.uniform(1, 4))
    place.start_again(name)
    return f"{minutes} minutes of {name}"
