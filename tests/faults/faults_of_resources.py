"""Faults of resources: no memory, no file descriptors, a full disk, a wrong clock."""

import contextlib
import os
import random
import resource
import time
from pathlib import Path

from rig.clock import LIBFAKETIME
from rig.system import until

from faults.environment import DISK_MIB, WORKERS, LocalEnvironment
from faults.fault import fault
from faults.jobs import SWELL_MIB


@fault(interrupts=True)
def worker_out_of_memory(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F6: limit the memory of a worker process to little more than it uses."""
    name, pid = environment.random_process(chance)
    before = _memory_errors(environment)
    used = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (used + (int(SWELL_MIB) << 19), limits[1]))
    with contextlib.suppress(AssertionError):
        until("an attempt runs out of memory", lambda: _memory_errors(environment) > before, 10)
    if Path(f"/proc/{pid}").exists():
        resource.prlimit(pid, resource.RLIMIT_AS, limits)
    failed = _memory_errors(environment) - before
    return f"{failed} attempts of {name}" if failed else None


def _memory_errors(environment: LocalEnvironment) -> int:
    return int(environment.system.database.value("SELECT count(*) FROM attempts WHERE error_type = 'MemoryError'"))


@fault(interrupts=False)
def api_out_of_files(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F51: the API cannot open another file or connection."""
    pid = environment.system.processes["api"].pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with environment.database_unavailable():  # the API cannot reconnect
        open_files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files, limits[1]))
        environment.end_connections()
        time.sleep(chance.uniform(0.5, 2))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    return "resumed"


@fault(interrupts=True)
def disk_full(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F24: fill PostgreSQL's disk, later free it."""
    assert environment.disk is not None, "see LocalEnvironment.impossible_faults"
    filler, log = environment.disk / "filler", environment.folder / "postgres.log"

    def errors() -> int:
        return log.read_text(errors="replace").count("No space left on device")

    before = errors()
    with environment.database_unavailable():
        with filler.open("wb") as file, contextlib.suppress(OSError):
            for mib in range(DISK_MIB):
                os.posix_fallocate(file.fileno(), mib << 20, 1 << 20)
        with contextlib.suppress(AssertionError):
            until("PostgreSQL needs space", lambda: errors() > before, 15)
        time.sleep(chance.uniform(0, 2))
        filler.unlink()
        process = environment.postgres.process
        if process is not None and process.poll() is not None:  # PostgreSQL could not recover, and ended
            environment.postgres.start()
        until("PostgreSQL answers", lambda: environment.system.database.value("SELECT 1"))
    return f"{errors() - before} errors for lack of space" if errors() > before else None


@fault(interrupts=True)
def clock_wrong(environment: LocalEnvironment, chance: random.Random) -> str | None:
    """F33: the wall clock of one process and its children is minutes off; the monotonic clock is right."""
    name, minutes = chance.choice([*WORKERS, "api", "controller"]), chance.choice([-10, 10])
    assert LIBFAKETIME is not None, "see LocalEnvironment.impossible_faults"
    environment.restart(name, LD_PRELOAD=LIBFAKETIME, FAKETIME=f"{minutes:+}m", FAKETIME_DONT_FAKE_MONOTONIC="1")
    time.sleep(chance.uniform(1, 4))
    environment.restart(name)
    return f"{minutes} minutes of {name}"
