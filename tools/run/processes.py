"""The processes of one run: PostgreSQL, Redis, the migration, the API, a worker and the controller."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from common.domain.webhooks.events import QUEUE as WEBHOOKS
from common.settings import secret_variables
from tools import ROOT
from tools.run.authentication import RunAuthentication
from tools.run.console import RunError, say
from tools.run.folder import remembered_ports, webhook_key
from tools.run.prepared_worker import KnownOperations, PreparedWorker
from tools.servers import Postgres, Redis, port_is_free, spawn, stop, wait_for

TAIL_LINES = 20
MIGRATION_LIMIT_S = 120
READY_LIMIT_S = 30
#: Of a worker whose sources are watched: a running job is given back so soon after a change.
RESTART_GRACE_SECONDS = "0.5"
METRICS = "JOBPROC_METRICS_PORT"
WEBHOOK_KEY = "JOBPROC_WEBHOOK_ENCRYPTION_KEY"


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of a .env file; none if there is no file."""
    if not path.exists():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value is not None}


class Run:
    """The processes of one run."""

    def __init__(self, host: str, port: int, folder: Path, *, restarts: bool = False, auth: bool = False) -> None:
        """`restarts`: the worker is restarted when the sources of its operations change. `auth`: keys are needed."""
        self.folder = folder
        self.logs = folder / "log"
        self.host = host
        self.port = port
        self.base = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound
        self.env = read_env(ROOT / ".env") | dict(os.environ)
        self.env.setdefault("JOBPROC_LOG_FORMAT", "console")
        self.env.setdefault("JOBPROC_JOB_LOG_SUMMARY", "true")
        self.env.setdefault("JOBPROC_API_URL", self.base)  # for operations that submit further jobs
        self.authentication = RunAuthentication(self.env, folder, asked_for=auth)
        self.metrics_ports: dict[str, int] = {}  #: by process; empty: JOBPROC_METRICS_PORT is set
        self.operations = KnownOperations([], [])
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.children: dict[str, subprocess.Popen[bytes]] = {}
        self._restarts = restarts
        self._prepared: PreparedWorker | None = None
        self._replaced: list[subprocess.Popen[bytes]] = []  # workers that drain
        self._ports: dict[str, int] = {}

    def start(self) -> None:
        """Start all processes and wait until the API is ready."""
        self.authentication.check(self.host)
        if not port_is_free(self.port, self.host):
            raise RunError(
                f"port {self.port} of {self.host} is taken: end the process that listens there, "
                "or choose another port with `make run PORT=8001`"
            )
        self.logs.mkdir(parents=True, exist_ok=True)
        self._log("worker").unlink(missing_ok=True)
        if not (self.env.get(WEBHOOK_KEY) or self.env.get(f"{WEBHOOK_KEY}_FILE")):
            self.env[WEBHOOK_KEY] = webhook_key(self.folder)
        self.operations = self._prepare_worker().operations()
        self._ports = remembered_ports(self.folder)
        self._start_servers()
        say("migrating")
        if self._child("migrate", "common.migrate", *self.authentication.migration_arguments).wait(MIGRATION_LIMIT_S):
            raise RunError(self._exit_message("migrate"))
        del self.children["migrate"]
        say(f"starting the API, a worker and the controller (logs in {self.logs})")
        self._child("api", "api", "--host", self.host, "--port", str(self.port), **self._metrics("api"))
        self._start_worker("worker")
        self._child("controller", "worker.controller", **self._metrics("controller"))
        wait_for("the API", self.is_ready, limit_s=READY_LIMIT_S)
        if self._restarts:
            self._prepare_worker()

    def _start_servers(self) -> None:
        if not (self.env.get("DATABASE_URL") or self.env.get("DATABASE_URL_FILE")):
            self.postgres = Postgres(self.folder / "postgres", self.logs / "postgres.log", self._ports["postgres"])
            say(f"starting PostgreSQL (data in {self.folder / 'postgres'})")
            self.postgres.start()
            self.env["DATABASE_URL"] = self.postgres.url()
        if not (self.env.get("REDIS_URL") or self.env.get("REDIS_URL_FILE")):
            self.redis = Redis(self.folder / "redis", self.logs / "redis.log", self._ports["redis"])
            say(f"starting Redis (data in {self.folder / 'redis'})")
            self.redis.start()
            self.env["REDIS_URL"] = self.redis.url

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _child(self, name: str, module: str, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        self._log(name).unlink(missing_ok=True)
        argv = [sys.executable, "-m", module, *arguments]
        self.children[name] = spawn(argv, self._log(name), {**self.env, **env}, cwd=ROOT)
        return self.children[name]

    def _prepare_worker(self) -> PreparedWorker:
        """Have a worker ready that has not imported the operations yet."""
        if self._prepared is None:
            env = {name: value for name, value in self.env.items() if name not in secret_variables()}
            self._prepared = PreparedWorker(self._log("worker"), env)  # it gets the others when it serves
        return self._prepared

    def _start_worker(self, ports: str) -> None:
        """Let the prepared worker serve. `ports`: the name of the port of its metrics."""
        grace = {}
        if self._restarts and "JOBPROC_SHUTDOWN_GRACE_SECONDS" not in self.env:
            grace = {"JOBPROC_SHUTDOWN_GRACE_SECONDS": RESTART_GRACE_SECONDS, "JOBPROC_KEEPALIVE_DRAIN_SECONDS": "0"}
        worker, self._prepared = self._prepare_worker(), None
        self.children["worker"] = worker.process
        arguments = ["--queues", ",".join([*self.operations.queues, WEBHOOKS]), "--concurrency", "2"]
        worker.serve(arguments, {**self.env, **self.authentication.key_of_operations, **grace, **self._metrics(ports)})

    def _metrics(self, name: str) -> Mapping[str, str]:
        """Return the port of a process's metrics as a variable, unless the user has set one for all."""
        if METRICS in self.env:
            return {}
        port = self.metrics_ports[name.removeprefix("restarted ")] = self._ports[f"{name} metrics"]
        return {METRICS: str(port)}

    def restart_worker(self) -> None:
        """Replace the worker by one with the operations as they are now; jobs that run are given back uncharged.

        Raises RunError, and leaves the worker at work, if the operations cannot be imported.
        """
        try:
            self.operations = self._prepare_worker().operations()
        except RunError:
            self.forget_prepared_worker()
            self._prepare_worker()
            raise
        old = self.children.pop("worker")
        old.send_signal(signal.SIGTERM)
        self._replaced = [old, *(process for process in self._replaced if process.poll() is None)]
        log = self._log("worker")
        seen = log.stat().st_size
        is_first = self.metrics_ports.get("worker") == self._ports["worker metrics"]
        self._start_worker("restarted worker" if is_first else "worker")
        if self.env.get("JOBPROC_LOG_LEVEL", "info").lower() in ("debug", "info"):
            wait_for("the worker", lambda: self._says_ready(log, seen), limit_s=READY_LIMIT_S)
        self._prepare_worker()

    def forget_prepared_worker(self) -> None:
        """End the worker that is ready: an installation may have changed what it would find."""
        if self._prepared is not None:
            self._prepared.stop()
            self._prepared = None

    def _says_ready(self, log: Path, since: int) -> bool:
        self.check()
        with log.open("rb") as file:
            file.seek(since)
            return b"worker_ready" in file.read()

    def is_ready(self) -> bool:
        """Return True if the API accepts jobs. Raises RunError if a process has ended."""
        self.check()
        try:
            return bool(self.call("GET", "/readyz")["ready"])
        except (OSError, ValueError):
            return False

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Send a request to the API and return its response."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **self.authentication.header}
        request = urllib.request.Request(self.base + path, data, headers, method=method)  # noqa: S310 - http, our own
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            return dict(json.load(response))

    def check(self) -> None:
        """Raise RunError if a child has ended, with the last lines of its log."""
        for name, process in self.children.items():
            if process.poll() is not None:
                raise RunError(self._exit_message(name))

    def _exit_message(self, name: str) -> str:
        log, code = self._log(name), self.children[name].returncode
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return f"{name} ended with code {code}; the end of {log}:\n    " + "\n    ".join(lines)

    def stop(self) -> None:
        """Stop every process that was started: the children first, then the servers."""
        self.forget_prepared_worker()
        children = [*self._replaced, *self.children.values()]
        for process in children:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in children:
            stop(process)
        for server in (self.redis, self.postgres):
            if server is not None:
                server.stop()
