"""Where a run takes place: servers of its own, processes of jobproc, and proxies between them."""

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
from rig import clock
from rig.clock import Clock
from rig.proxy import Proxy
from rig.servers import serve
from rig.system import QUICK, Database, System, until

from faults.history import now_s
from tools.servers import Postgres, Redis

LEASE_S, TICK_S = float(QUICK["JOBPROC_LEASE_SECONDS"]), float(QUICK["JOBPROC_TICK_SECONDS"])
BACK_S = 5.0  # after PostgreSQL is back: a time limit of a read, and a pause before the next try
WORKERS = ("first", "second")
PROCESSES = 2  # of each worker
MAX_CRASHES = "1000"  # or what the faults kill again and again would end for that
DRAIN_S = 3 * LEASE_S + 6.0  # and what four processes may have left to do
WAIT_S = 2 * TICK_S + 2.0  # a due job beside an idle worker; and a claim, on a busy machine
DISK_MIB = 400  # of PostgreSQL
PATIENCE_S = 20.0  # longer than any fault keeps PostgreSQL away
PARTS = ("api", "worker", "controller")


class PatientDatabase(Database):
    """A look beside the product, by any thread, that waits for PostgreSQL to be back."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._lock = threading.Lock()

    def rows(self, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        until_s = now_s() + PATIENCE_S
        while True:
            try:
                with self._lock:
                    return super().rows(sql, arguments)
            except psycopg2.Error:
                if now_s() > until_s:
                    raise
                time.sleep(0.1)


class AnyPlace:
    """What places on this machine and in a cluster have in common."""

    database: Database  #: a look beside the product
    back_s: float  #: how long after PostgreSQL is back its absence may be felt yet

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[tuple[datetime, datetime]] = []  #: times of the database's clock that do not say in which order things happened
        self.away: list[tuple[float, float]] = []  #: from when to when PostgreSQL could not be relied on

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Say that PostgreSQL cannot be relied on meanwhile, and shortly after."""
        began_s = now_s()
        try:
            yield
        finally:
            self.away.append((began_s, now_s() + self.back_s))
            self.database.close()  # the look beside the product has lost its connection too

    def end_connections(self) -> int:
        """End every connection that jobproc has, and return how many there were."""
        ended: int = self.database.one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'jobproc%'")
        return ended

    def end_connections_often(self, chance: random.Random) -> str | None:
        """End them several times; returns what shows that there were some."""
        ended = 0
        with self.database_away():
            for _ in range(3):
                ended += self.end_connections()
                time.sleep(chance.uniform(0.1, 1))
        return f"{ended} connections" if ended else None


class Place(AnyPlace):
    """On this machine: an API, two workers of two processes, a controller; each kind reaches PostgreSQL and Redis through proxies of its own.

    PostgreSQL has a small disk of its own where one may be mounted: `disk`, else None.
    """

    back_s = BACK_S
    lease_s, heartbeat_s, drain_s, wait_s = LEASE_S, float(QUICK["JOBPROC_HEARTBEAT_SECONDS"]), DRAIN_S, WAIT_S

    def __init__(self, folder: Path) -> None:
        """Start everything; `folder` must be for this run alone, and readable by all."""
        super().__init__(folder)
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.disk = self._mounted(self.folder / "disk")
        options = {"max_connections": "60", "max_wal_size": "64MB", "min_wal_size": "32MB"}
        self.postgres = Postgres((self.disk or self.folder) / "postgres", self.folder / "postgres.log", options=options)
        self.redis = Redis(self.folder / "redis", self.folder / "redis.log", options=("--save", ""))
        serve(self._stack, self.postgres, self.redis)
        self.before_postgres = {part: self._stack.enter_context(Proxy(self.postgres.port)) for part in PARTS}
        self.before_redis = {part: self._stack.enter_context(Proxy(self.redis.port)) for part in PARTS}
        self.system = System(self.folder, self.postgres.url(), self.redis.url, JOBPROC_MAX_CRASHES=MAX_CRASHES)
        self.database = self.system.database = PatientDatabase(self.postgres.url())
        self._stack.callback(self.system.close)
        self.start_api()
        for name in WORKERS:
            self.start_worker(name)
        self.start_controller()

    @property
    def url(self) -> str:
        """Where the API is."""
        return str(self.system.client.base_url)

    @property
    def postgres_url(self) -> str:
        """Where PostgreSQL is, past every fault of the way to it."""
        return self.postgres.url()

    def effects(self) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        return self.system.effects()

    def absent(self) -> dict[str, str]:
        """Return the faults that cannot happen here, and what they would need."""
        needs = {}
        if self.disk is None:
            needs["disk_full"] = "the right to mount a small disk for PostgreSQL"
        if reason := clock.missing():
            needs |= dict.fromkeys(("clock_wrong", "database_clock_set"), reason)
        return needs

    @contextmanager
    def settable_clock(self) -> Iterator[Clock]:
        """Start PostgreSQL again with a clock that may be set, and after the block without: the clock must be right by then."""
        settable = Clock(self.folder)
        self._start_postgres(settable.env)
        since = self.database.one("SELECT clock_timestamp()")
        leased = "SELECT count(*) FROM workers WHERE ended_at IS NULL AND alive_until > %s + %s * interval '1 s'"
        until("every process has a lease of after the start", lambda: self.database.one(leased, (since, self.lease_s)) == len(WORKERS) * PROCESSES)
        yield settable
        self._start_postgres({})

    def _start_postgres(self, env: dict[str, str]) -> None:
        with self.database_away():
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

    def _through(self, part: str) -> dict[str, str]:
        return {
            "DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.before_postgres[part].port}/postgres",
            "REDIS_URL": f"redis://127.0.0.1:{self.before_redis[part].port}/0",
        }

    # --- processes

    def start_api(self, **settings: str) -> None:
        """Start the API."""
        self.system.api(**self._through("api"), **settings)

    def start_worker(self, name: str, **settings: str) -> None:
        """Start a worker."""
        self.system.worker(name, concurrency=PROCESSES, **self._through("worker"), **settings)

    def start_controller(self, name: str = "controller", **settings: str) -> None:
        """Start a controller."""
        self.system.controller(name, **self._through("controller"), **settings)

    def start_again(self, name: str, **settings: str) -> None:
        """Let the API, a worker or the controller end in order, and start it again with these settings."""
        self.system.end(name)
        if name in WORKERS:
            self.start_worker(name, **settings)
        elif name == "api":
            self.start_api(**settings)
        else:
            self.start_controller(**settings)

    def a_process(self, chance: random.Random) -> tuple[str, int]:
        """Return a worker and one of its processes."""
        name = chance.choice(WORKERS)
        return name, until("it has one", lambda: self.system.children(name))[0]

    def group(self, name: str) -> list[int]:
        """Return the pids of a process and its children."""
        return [self.system.processes[name].pid, *self.system.children(name)]

    def kill_group(self, name: str) -> None:
        """Kill a process and its children, and wait for its end."""
        for pid in self.group(name):
            os.kill(pid, signal.SIGKILL)
        self.system.processes[name].wait(10)

    def lost(self) -> int:
        """Return how many attempts were lost or refused so far."""
        refused: int = sum(line["count"] for name in WORKERS for line in self.system.events(name, "results_refused"))
        lost: int = self.system.database.one("SELECT count(*) FROM attempts WHERE ended = 'lost'")
        return lost + refused

    def close(self) -> None:
        """End everything."""
        self._stack.close()
