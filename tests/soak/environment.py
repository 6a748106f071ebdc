"""Where a soak takes place: servers of its own, the product with its own defaults, a worker beside it whose processes die."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from rig.fork_server import ROOT
from rig.scrape import Page
from rig.servers import serve
from rig.system import QUICK, Database, System

from tools.servers import Postgres, Redis, spawn

POSTGRES = {"max_connections": "60", "shared_buffers": "64MB", "max_wal_size": "1GB"}  # small, so that they are full before anything is judged
RETENTION = {"JOBPROC_RETENTION_DAYS": "1", "JOBPROC_RETENTION_CHECK_SECONDS": "10"}
PROCESSES = 2
PARTS = ("api", "worker", "mortal", "controller")
STEADY = ("api", "worker", "controller")  # parts of which no process may end


class Place:
    """An API, a worker of two processes, another one for the queue `mortal`, a controller."""

    def __init__(self, folder: Path) -> None:
        """Start everything; `folder` must be for this run alone, and readable by all."""
        self.folder = folder
        self._stack = ExitStack()
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self.postgres = Postgres(self.folder / "postgres", self.folder / "postgres.log", options=POSTGRES)
        self.redis = Redis(self.folder / "redis", self.folder / "redis.log", options=("--save", ""))
        serve(self._stack, self.postgres, self.redis)
        self.system = System(self.folder, self.postgres.url(), self.redis.url)
        self._stack.callback(self.system.close)
        self.system.database = Database(self.postgres.url("postgres?application_name=soak"))
        for name in QUICK:
            del self.system.env[name]
        self.system.env["PYTHONPATH"] += f":{ROOT / 'tests' / 'soak' / 'operations'}"
        self.pages = {part: Page() for part in PARTS}
        self.system.api(**self._of("api"))
        self.system.worker("worker", concurrency=PROCESSES, **self._of("worker"))
        self.system.worker("mortal", queues="mortal", concurrency=PROCESSES, **self._of("mortal"))
        self.system.controller(**self._of("controller"))

    def _of(self, part: str) -> dict[str, str]:
        return {"JOBPROC_METRICS_PORT": self.pages[part].port, **RETENTION}

    def load(self, seconds: float, window_s: float, rate: float) -> "subprocess.Popen[bytes]":
        """Start the load, and return its process."""
        url = str(self.system.client.base_url)
        argv = [sys.executable, "-m", "soak.load", url, str(seconds), str(window_s), str(rate), str(self.folder)]
        path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        process = spawn(argv, self.folder / "load.log", {**self.system.env, **path}, cwd=self.folder)
        self.system.processes["load"] = process
        return process

    def processes(self) -> list[tuple[str, int]]:
        """Return role and pid of each process of the product and of Redis, as they are now."""
        found = [(part, self.system.processes[part].pid) for part in PARTS]
        found += [(f"{part} process", pid) for part in ("worker", "mortal") for pid in sorted(self.system.children(part))]
        if self.redis.process:
            found.append(("redis", self.redis.process.pid))
        return found

    def errors(self) -> Counter[str]:
        """Return what the logs of the steady parts say at level error, and how often."""
        found: Counter[str] = Counter()
        for part in STEADY:
            for line in self.system.log(part).splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("level") in ("error", "critical"):
                        found[f"{part}: {entry['event']}"] += 1
        return found

    def close(self) -> None:
        """End everything."""
        self._stack.close()
