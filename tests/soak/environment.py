"""The environment of a soak test: its own servers, the product with default settings, a second worker that crashes."""

import contextlib
import json
import subprocess
import sys
from collections import Counter

from faults.lifecycle import Environment
from rig.fork_server import ROOT
from rig.scrape import MetricsPage
from rig.system import QUICK, Database, System

from tools.servers import spawn

#: Small, so that PostgreSQL's memory and disk are full before anything is judged.
POSTGRES = {
    "max_connections": "60",
    "shared_buffers": "64MB",
    "max_wal_size": "1GB",
}
RETENTION = {"JOBPROC_RETENTION_DAYS": "1", "JOBPROC_RETENTION_CHECK_SECONDS": "10"}
PROCESSES = 2
PARTS = ("api", "worker", "crashing", "controller")
STEADY = ("api", "worker", "controller")  # parts of which no process may end
CRASHING_QUEUE = "crashing"


class SoakEnvironment(Environment):
    """An API, a worker of two processes, a second worker for the jobs that crash their process, and a controller."""

    def _start(self) -> None:
        self.postgres, self.redis = self._start_servers(self.folder, POSTGRES)
        self.system = System(self.folder, self.postgres.url(), self.redis.url)
        self._stack.callback(self.system.close)
        self.system.database = Database(self.postgres.url("postgres?application_name=soak"))
        for name in QUICK:
            del self.system.env[name]
        self.system.env["JOBPROC_AUTHENTICATION"] = "off"
        self.system.env["PYTHONPATH"] += f":{ROOT / 'tests' / 'soak' / 'operations'}"
        self.pages = {part: MetricsPage() for part in PARTS}
        self.system.api(**self._settings("api"))
        self.system.worker("worker", concurrency=PROCESSES, **self._settings("worker"))
        self.system.worker("crashing", queues=CRASHING_QUEUE, concurrency=PROCESSES, **self._settings("crashing"))
        self.system.controller(**self._settings("controller"))

    def _settings(self, part: str) -> dict[str, str]:
        return {"JOBPROC_METRICS_PORT": self.pages[part].port, **RETENTION}

    def start_load(self, seconds: float, window_s: float, rate: float) -> "subprocess.Popen[bytes]":
        """Start the load, and return its process."""
        url = str(self.system.client.base_url)
        argv = [sys.executable, "-m", "soak.load", url, str(seconds), str(window_s), str(rate), str(self.folder)]
        path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
        process = spawn(argv, self.folder / "load.log", {**self.system.env, **path}, cwd=self.folder)
        self.system.processes["load"] = process
        return process

    def processes(self) -> list[tuple[str, int]]:
        """Return role and pid of each process of the product and of Redis that runs now."""
        roles = [(part, self.system.processes[part].pid) for part in PARTS]
        roles += [
            (f"{part} process", pid) for part in ("worker", "crashing") for pid in sorted(self.system.children(part))
        ]
        if self.redis.process:
            roles.append(("redis", self.redis.process.pid))
        return roles

    def errors(self) -> Counter[str]:
        """Return how often each event was logged at level error or above by the steady parts."""
        counts: Counter[str] = Counter()
        for part in STEADY:
            for line in self.system.log(part).splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("level") in ("error", "critical"):
                        counts[f"{part}: {entry['event']}"] += 1
        return counts
