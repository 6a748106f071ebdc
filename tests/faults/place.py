"""Where a run takes place: servers of its own, processes of jobproc, and proxies between them."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rig.proxy import Proxy
from rig.settings import settings_of
from rig.system import QUICK, System

from common.migrate import migrate
from faults.history import now_s
from tools.servers import Postgres, Redis

LEASE_S, TICK_S = float(QUICK["JOBPROC_LEASE_SECONDS"]), float(QUICK["JOBPROC_TICK_SECONDS"])
BACK_S = 5.0  # after PostgreSQL is back: a time limit of a read, and a pause before the next try
WORKERS = ("first", "second")
PROCESSES = 2  # of each worker


class Place:
    """An API, two workers of two processes, a controller; each reaches PostgreSQL through a proxy of its own kind, and Redis through one."""

    def __init__(self, folder: Path) -> None:
        """Start everything; `folder` must be for this run alone, and readable by all."""
        self.folder = folder
        self.away: list[tuple[float, float]] = []
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.postgres = Postgres(self.folder / "postgres", self.folder / "postgres.log", options={"max_connections": "60"})
        self._stack.callback(self.postgres.stop)
        self.postgres.start()
        self.redis = Redis(self.folder / "redis", self.folder / "redis.log", options=("--save", ""))
        self._stack.callback(self.redis.stop)
        self.redis.start()
        self.between = {part: self._stack.enter_context(Proxy(self.postgres.port)) for part in ("api", "worker", "controller")}
        self.before_redis = self._stack.enter_context(Proxy(self.redis.port))
        migrate(settings_of(self.postgres.url(), self.redis.url))
        self.system = System(self.folder, self.postgres.url(), f"redis://127.0.0.1:{self.before_redis.port}/0")
        self._stack.callback(self.system.close)
        self.start_api()
        for name in WORKERS:
            self.start_worker(name)
        self.start_controller()

    def _through(self, part: str) -> dict[str, str]:
        return {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{self.between[part].port}/postgres"}

    # --- processes

    def start_api(self, **settings: str) -> None:
        """Start the API."""
        self.system.api(**self._through("api"), **settings)

    def start_worker(self, name: str) -> None:
        """Start a worker."""
        self.system.worker(name, concurrency=PROCESSES, **self._through("worker"))

    def start_controller(self, name: str = "controller") -> None:
        """Start a controller."""
        self.system.controller(name, **self._through("controller"))

    def group(self, name: str) -> list[int]:
        """Return the pids of a process and its children."""
        return [self.system.processes[name].pid, *self.system.children(name)]

    def kill_group(self, name: str) -> None:
        """Kill a process and its children, and wait for its end."""
        for pid in self.group(name):
            os.kill(pid, signal.SIGKILL)
        self.system.processes[name].wait(10)

    # --- PostgreSQL

    @contextmanager
    def database_away(self) -> Iterator[None]:
        """Say that PostgreSQL cannot be relied on meanwhile, and shortly after."""
        began_s = now_s()
        try:
            yield
        finally:
            self.away.append((began_s, now_s() + BACK_S))
            self.system.database.close()  # the look beside the product has lost its connection too

    def end_connections(self) -> int:
        """End every connection that jobproc has, and return how many there were."""
        ended: int = self.system.database.one("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'jobproc%'")
        return ended

    def lost(self) -> int:
        """Return how many attempts were lost or refused so far."""
        refused: int = sum(line["count"] for name in WORKERS for line in self.system.events(name, "results_refused"))
        lost: int = self.system.database.one("SELECT count(*) FROM attempts WHERE ended = 'lost'")
        return lost + refused

    def close(self) -> None:
        """End everything."""
        self._stack.close()
