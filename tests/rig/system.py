"""A running jobproc: real servers, real processes, a client. All of them end with the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg2
import psycopg2.extras
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from rig.fork_server import ForkServer, can_fork, python_path
from rig.redis_users import with_user
from rig.settings import ROLE_PREFIX
from tools.servers import Process, free_port, spawn, stop, wait_for

TERMINAL = {"SUCCESS", "FAILED", "CANCELLED"}
#: The role of PostgreSQL, and the user of Redis, with which the process of a module connects, as in an installation.
ROLES = {"api": "api", "worker": "worker", "worker.controller": "controller"}
SUPERUSER = "postgresql://postgres@"
#: Short intervals: a lease expires within two seconds.
QUICK = {
    "JOBPROC_AUTHENTICATION": "off",
    "JOBPROC_WEBHOOK_ENCRYPTION_KEY": "0123456789abcdef0123456789abcdef",
    "JOBPROC_LEASE_SECONDS": "2",
    "JOBPROC_HEARTBEAT_SECONDS": "0.4",
    "JOBPROC_TICK_SECONDS": "0.2",
    "JOBPROC_SUPERVISOR_INTERVAL_MILLISECONDS": "50",
    "JOBPROC_LEADER_LEASE_SECONDS": "1",
    "JOBPROC_CANCEL_CHECK_SECONDS": "0.2",
    "JOBPROC_CANCEL_GRACE_SECONDS": "1",
    "JOBPROC_SHUTDOWN_GRACE_SECONDS": "10",
    "JOBPROC_RECONNECT_MAX_DELAY_SECONDS": "0.5",
    "JOBPROC_LOG_LEVEL": "debug",
    "JOBPROC_MAX_PERCENT_PER_ADDRESS": "100",  # all clients of a test have one address
}
MAX_PAUSE_S = 0.1  # between two polls of a condition


def until(description: str, condition: Callable[[], Any], limit_s: float = 20.0, pause_s: float = 0.02) -> Any:
    """Poll a condition until it is true and return its value. Fails with `description` after `limit_s`.

    A longer wait polls less often, by a twentieth of its time so far: polls took a tenth of all processor time.
    """
    began = time.monotonic()
    while True:
        if value := condition():
            return value
        waited_s = time.monotonic() - began
        if waited_s > limit_s:
            raise AssertionError(f"not within {limit_s:g} s: {description}")
        time.sleep(max(pause_s, min(waited_s / 20, MAX_PAUSE_S)))


class Database:
    """The test's own connection to the database. Reconnects after a lost connection."""

    def __init__(self, url: str, schema: str = "") -> None:
        """`schema`: in which tables are found; empty: jobproc's, for the superuser by tools/servers.py."""
        self.url = url
        self._schema = schema
        self._connection: Any = None

    def rows(self, sql: str, arguments: Any = None) -> list[tuple[Any, ...]]:
        schema = self._schema or ("" if self.url.startswith(SUPERUSER) else "jobproc")
        path = f'search_path = "{schema}"'
        is_pooled = QUICK.get("JOBPROC_DATABASE_POOLER") == "transaction"  # a pooler refuses the option
        if self._connection is None or self._connection.closed:
            options = f"-c {path.replace(' ', '')}" if schema and not is_pooled else None
            self._connection = psycopg2.connect(self.url, options=options)
            self._connection.autocommit = True
        if schema and is_pooled and self._connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            sql = f"SET LOCAL {path}; {sql}"
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, arguments)
                return cursor.fetchall() if cursor.description else []
        except (psycopg2.OperationalError, psycopg2.InterfaceError):
            self.close()
            raise

    def value(self, sql: str, arguments: Any = None) -> Any:
        return self.rows(sql, arguments)[0][0]

    def deadlocks(self) -> int:
        return int(self.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


class System:
    """The processes of one test and a client to them."""

    fork_server: ForkServer | None = None  #: None: each process is started by `python -m`
    has_redis_users = False  #: True if its Redis has the users of the chart

    def __init__(self, folder: Path, database_url: str, redis_url: str, **settings: str) -> None:
        self.folder = folder
        self.database = Database(database_url)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("JOBPROC_")},
            **QUICK,
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "JOBPROC_TEST_FOLDER": str(folder),
            **python_path(),
            **settings,
        }
        self.processes: dict[str, Process] = {}
        self.port = free_port()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=15)

    # --- processes

    def spawn(self, name: str, module: str, *arguments: str, **settings: str) -> Process:
        """Start a process of jobproc; its log is <folder>/<name>.log."""
        env, log = {**self.env, **settings}, self.log_file(name)
        if role := ROLES.get(module):
            env["DATABASE_URL"] = env["DATABASE_URL"].replace(SUPERUSER, f"postgresql://{ROLE_PREFIX}_{role}@")
            if self.has_redis_users:
                env["REDIS_URL"] = with_user(env["REDIS_URL"], role)
        if self.fork_server and can_fork(env):
            self.processes[name] = self.fork_server.fork(module, arguments, log, env, self.folder)
        else:
            self.processes[name] = spawn([sys.executable, "-m", module, *arguments], log, env, cwd=self.folder)
        return self.processes[name]

    def api(self, name: str = "api", **settings: str) -> "System":
        """Start the API and wait until it answers."""
        process = self.spawn(name, "api", "--port", str(self.port), **settings)
        wait_for("the API", self._answers, process, 20)
        return self

    def _answers(self) -> bool:
        try:
            return self.client.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def worker(self, name: str = "worker", queues: str = "default", concurrency: int = 2, **settings: str) -> "System":
        """Start a worker and wait until its processes are registered."""
        before = self._workers()
        process = self.spawn(name, "worker", "--queues", queues, "--concurrency", str(concurrency), **settings)
        wait_for("the worker", lambda: len(self._workers() - before) >= concurrency, process, 20)
        wait_for("the worker's log", lambda: "worker_ready" in self.log(name), process, 20)
        wait_for(
            "the worker's operations",
            lambda: self.database.value("SELECT count(*) FROM operations WHERE name = 'noop'"),
            process,
            20,
        )
        return self

    def _workers(self) -> set[int]:
        return {row[0] for row in self.database.rows("SELECT id FROM workers")}

    def controller(self, name: str = "controller", **settings: str) -> "System":
        """Start a controller and wait until it is ready."""
        process = self.spawn(name, "worker.controller", **settings)
        wait_for("the controller", lambda: "controller_ready" in self.log(name), process, 20)
        return self

    def all(self, **settings: str) -> "System":
        """Start an API process, a worker with two processes and a controller."""
        self.env.update(settings)
        return self.api().worker().controller()

    def children(self, name: str = "worker") -> list[int]:
        """Return the process ids of a worker's children."""
        pids = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.processes[name].pid)], capture_output=True, text=True, check=False
        ).stdout
        return [int(pid) for pid in pids.split()]

    def kill(self, name: str, sign: int = signal.SIGKILL) -> None:
        """Send a signal to a process, not to its children."""
        self.processes[name].send_signal(sign)

    def end(self, name: str, sign: int = signal.SIGTERM, limit_s: float = 20) -> int:
        """End a process and return its exit code."""
        stop(self.processes[name], sign, limit_s)
        return self.processes[name].wait()

    def log_file(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def log(self, name: str) -> str:
        return self.log_file(name).read_text(errors="replace") if self.log_file(name).exists() else ""

    def events(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the log entries of an event."""
        entries = []
        for line in self.log(name).splitlines():
            if f'"{event}"' not in line:
                continue  # parsed at each poll, most of them in vain
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if entry.get("event") == event:
                    entries.append(entry)
        return entries

    # --- client

    def submit(self, operation: str, *data: float) -> str:
        """Submit a job and return its id."""
        response = self.client.post("/jobs/", json={"data": list(data), "operation": operation})
        assert response.status_code == 202, response.text
        return str(response.json()["job_id"])

    def submit_many(self, operation: str, inputs: list[list[float]]) -> list[str]:
        """Submit jobs in one batch and return their ids."""
        response = self.client.post("/jobs/batch", json=[{"data": data, "operation": operation} for data in inputs])
        assert response.status_code == 202, response.text
        return list(response.json()["job_ids"])

    def job(self, job_id: str) -> dict[str, Any]:
        response = self.client.get(f"/jobs/{job_id}")
        assert response.status_code == 200, response.text
        return dict(response.json())

    def status(self, job_id: str) -> str:
        return str(self.client.get(f"/jobs/{job_id}/status").json()["status"])

    def wait_status(self, job_id: str, *statuses: str, limit_s: float = 20) -> str:
        return str(
            until(
                f"{job_id} is {' or '.join(statuses)}",
                lambda: status if (status := self.status(job_id)) in statuses else None,
                limit_s,
            )
        )

    def wait(self, job_id: str, limit_s: float = 20) -> dict[str, Any]:
        """Wait until a job has finished and return its details."""
        self.wait_status(job_id, *TERMINAL, limit_s=limit_s)
        return self.job(job_id)

    def wait_all(self, limit_s: float = 40) -> None:
        """Wait until no job is unfinished."""
        until("every job has finished", lambda: not self.database.value("SELECT count(*) FROM live"), limit_s)

    def effects(self) -> list[dict[str, Any]]:
        """Return the lines of the effects ledger."""
        ledger = self.folder / "effects.jsonl"
        return [json.loads(line) for line in ledger.read_text().splitlines()] if ledger.exists() else []

    def close(self) -> None:
        """Kill every process and close the client and the database connection."""
        self.client.close()
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
        for process in self.processes.values():
            process.wait()
        self.database.close()

    def show_logs(self) -> Iterator[str]:
        """Yield the last 30 lines of each log, for a failed test."""
        for name in self.processes:
            yield f"--- {name}\n" + "\n".join(self.log(name).splitlines()[-30:])
