"""The environment of a run on this machine: its own servers, processes of jobproc, and proxies between them."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
from rig import clock
from rig.clock import Clock
from rig.proxy import Proxy
from rig.system import QUICK, Database, System, until

from faults.history import now_s
from faults.lifecycle import Environment

LEASE_S, TICK_S = float(QUICK["JOBPROC_LEASE_SECONDS"]), float(QUICK["JOBPROC_TICK_SECONDS"])
RECOVERY_S = 5.0  # after PostgreSQL is available again: a time limit of a read, and a pause before the next reconnect
WORKERS = ("first", "second")
PROCESSES = 2  # of each worker
MAX_CRASHES = "1000"  # otherwise jobs whose process the faults kill repeatedly would fail for that
DRAIN_S = 3 * LEASE_S + 6.0  # and the work that four processes may have left
CLAIM_S = 2.0  # on a busy machine
WAIT_S = 2 * TICK_S + CLAIM_S  # of a due job beside an idle worker
FAIR_WAIT_S = 1.0 + 1.0 + CLAIM_S  # of a due job beside a flood: JOBPROC_BATCH_MAX_SECONDS, and the longest job
DISK_MIB = 400  # of PostgreSQL
DATABASE_RETRY_S = 20.0  # longer than any fault makes PostgreSQL unavailable
PARTS = ("api", "worker", "controller")
#: Keys are read at the default interval. All clients have one address, and try keys that have ended.
AUTHENTICATED = {"JOBPROC_AUTHENTICATION": "required", "JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE": "0"}


class PatientDatabase(Database):
    """A connection beside the product, for any thread, that waits until PostgreSQL is available again."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._lock = threading.Lock()

    def rows(self, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        until_s = now_s() + DATABASE_RETRY_S
        while True:
            try:
                with self._lock:
                    return super().rows(sql, arguments)
            except psycopg2.Error:
                if now_s() > until_s:
                    raise
                time.sleep(0.1)


class EndingSystem(System):
    """A system that remembers which worker processes were told to end: they claim nothing more."""

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        super().__init__(folder, database_url, redis_url, **settings)
        self.ending: list[int] = []  #: pids

    def end(self, name: str, sign: int = signal.SIGTERM, limit_s: float = 20) -> int:
        self.ending += self.children(name)
        return super().end(name, sign, limit_s)


class FaultEnvironment(Environment):
    """The common part of environments on this machine and in a cluster."""

    database: Database  #: a connection beside the product
    postgres_url: str  #: of the superuser, not through a proxy
    url: str  #: of the API
    recovery_s: float  #: how long an outage of PostgreSQL may be noticed after its end

    def __init__(self, folder: Path) -> None:
        #: Times of the database's clock that do not give the order of events.
        self.clock_steps: list[tuple[datetime, datetime]] = []
        self.outages: list[tuple[float, float]] = []  #: from when to when PostgreSQL was unreliable
        super().__init__(folder)

    @contextmanager
    def database_unavailable(self) -> Iterator[None]:
        """Record that PostgreSQL is unreliable during the block, and shortly after it."""
        began_s = now_s()
        try:
            yield
        finally:
            self.outages.append((began_s, now_s() + self.recovery_s))
            self.database.close()  # the connection beside the product is lost too

    def ending(self) -> list[int]:
        """Return the pids of the worker processes that were told to end, as far as they are known."""
        return []

    def end_connections(self) -> int:
        """Terminate every connection of jobproc, and return how many there were."""
        ended: int = self.database.value(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'jobproc%'"
        )
        return ended

    def end_connections_repeatedly(self, chance: random.Random) -> str | None:
        """Terminate all connections three times, and return how many there were; None: there were none."""
        ended = 0
        with self.database_unavailable():
            for _ in range(3):
                ended += self.end_connections()
                time.sleep(chance.uniform(0.1, 1))
        return f"{ended} connections" if ended else None


class LocalEnvironment(FaultEnvironment):
    """An API, two workers of two processes each and a controller on this machine.

    Each of these parts reaches PostgreSQL and Redis through its own proxies. `disk`: a small file system of PostgreSQL,
    None where none may be mounted.
    """

    recovery_s = RECOVERY_S
    lease_s, heartbeat_s, drain_s, wait_s = LEASE_S, float(QUICK["JOBPROC_HEARTBEAT_SECONDS"]), DRAIN_S, WAIT_S
    fair_wait_s = FAIR_WAIT_S

    def _start(self) -> None:
        self.disk = self._mounted(self.folder / "disk")
        options = {"max_connections": "60", "max_wal_size": "64MB", "min_wal_size": "32MB"}
        self.postgres, self.redis = self._start_servers(self.disk or self.folder, options)
        self.postgres_proxies = {part: self._stack.enter_context(Proxy(self.postgres.port)) for part in PARTS}
        self.redis_proxies = {part: self._stack.enter_context(Proxy(self.redis.port)) for part in PARTS}
        self.postgres_url = self.postgres.url()
        settings = {"JOBPROC_MAX_CRASHES": MAX_CRASHES, **AUTHENTICATED}
        self.system = EndingSystem(self.folder, self.postgres_url, self.redis.url, **settings)
        self.url = str(self.system.client.base_url)
        self.database = self.system.database = PatientDatabase(self.postgres.url())
        self._stack.callback(self.system.close)
        self.start_api()
        for name in WORKERS:
            self.start_worker(name)
        self.start_controller()

    def effects(self) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        return self.system.effects()

    def ending(self) -> list[int]:
        """Return the pids of the worker processes that were told to end."""
        return list(self.system.ending)

    def impossible_faults(self) -> dict[str, str]:
        """Return the faults that cannot be injected on this machine, and what each would need."""
        needs = {}
        if self.disk is None:
            needs["disk_full"] = "the right to mount a small disk for PostgreSQL"
        if reason := clock.missing():
            needs |= dict.fromkeys(("clock_wrong", "database_clock_set"), reason)
        return needs

    @contextmanager
    def settable_clock(self) -> Iterator[Clock]:
        """Restart PostgreSQL with a settable clock, and after the block without. The clock must be right at its end."""
        settable = Clock(self.folder)
        self._restart_postgres(settable.env)
        since = self.database.value("SELECT clock_timestamp()")
        leased = "SELECT count(*) FROM workers WHERE ended_at IS NULL AND alive_until > %s + %s * interval '1 s'"
        until(  # "at least": a process that runs async operations has a second worker id
            "every process has a lease from after the start",
            lambda: self.database.value(leased, (since, self.lease_s)) >= len(WORKERS) * PROCESSES,
        )
        yield settable
        self._restart_postgres({})

    def _restart_postgres(self, env: dict[str, str]) -> None:
        with self.database_unavailable():
            self.postgres.stop()
            self.postgres.env = env
            self.postgres.start()

    def _mounted(self, folder: Path) -> Path | None:
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=755", "jobproc-faults", str(folder)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return None
        self._stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        return folder

    def _proxied_urls(self, part: str) -> dict[str, str]:
        return {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.postgres_proxies[part].port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{self.redis_proxies[part].port}/0",
        }

    # --- processes

    def start_api(self, **settings: str) -> None:
        """Start the API."""
        self.system.api(**self._proxied_urls("api"), **settings)

    def start_worker(self, name: str, **settings: str) -> None:
        """Start a worker."""
        self.system.worker(name, concurrency=PROCESSES, **self._proxied_urls("worker"), **settings)

    def start_controller(self, name: str = "controller", **settings: str) -> None:
        """Start a controller."""
        self.system.controller(name, **self._proxied_urls("controller"), **settings)

    def restart(self, name: str, **settings: str) -> None:
        """Shut down the API, a worker or the controller gracefully, and start it with these settings."""
        self.system.end(name)
        if name in WORKERS:
            self.start_worker(name, **settings)
        elif name == "api":
            self.start_api(**settings)
        else:
            self.start_controller(**settings)

    def random_process(self, chance: random.Random) -> tuple[str, int]:
        """Return the name of a worker and the pid of one of its processes."""
        name = chance.choice(WORKERS)
        return name, until("the worker has a process", lambda: self.system.children(name))[0]

    def group(self, name: str) -> list[int]:
        """Return the pids of a process and its children."""
        return [self.system.processes[name].pid, *self.system.children(name)]

    def kill_group(self, name: str) -> None:
        """Kill a process and its children, and wait for its end."""
        for pid in self.group(name):
            os.kill(pid, signal.SIGKILL)
        self.system.processes[name].wait(10)

    def lost_or_fenced(self) -> int:
        """Return how many attempts were lost, or had their result fenced, so far."""
        fenced: int = sum(line["count"] for name in WORKERS for line in self.system.events(name, "results_fenced"))
        lost: int = self.system.database.value("SELECT count(*) FROM attempts WHERE outcome = 'lost'")
        return lost + fenced
