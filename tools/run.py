"""`make run`: runs all of jobproc on this machine until Ctrl-C, with PostgreSQL and Redis from wheels."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from common.command_line import command_line
from tools.servers import Postgres, Redis, free_port, port_is_free, spawn, stop, wait_for

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = {"data": [1, 2, 3], "operation": "square_sum"}
TAIL_LINES = 20


class RunError(Exception):
    """The run failed; the message is the one sentence to print."""


def say(text: str) -> None:
    """Print a line of progress."""
    print(f"  {text}", flush=True)


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of a .env file; none if there is no file."""
    if not path.exists():
        return {}
    from dotenv import dotenv_values

    return {name: value for name, value in dotenv_values(path).items() if value is not None}


def remembered_ports(folder: Path) -> dict[str, int]:
    """Return the ports of the embedded servers and remember them: those of the last run, if they are free."""
    file = folder / "ports.json"
    ports = json.loads(file.read_text()) if file.exists() else {}
    for name in ("postgres", "redis"):
        if not ports.get(name) or not port_is_free(ports[name]):
            ports[name] = free_port()
    file.write_text(json.dumps(ports))
    return ports


class Run:
    """The processes of one run."""

    def __init__(self, host: str, port: int, folder: Path) -> None:
        self.folder = folder
        self.logs = folder / "log"
        self.host = host
        self.port = port
        self.base = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound
        self.env = read_env(ROOT / ".env") | dict(os.environ)
        self.env.setdefault("JOBPROC_LOG_FORMAT", "console")
        self.env.setdefault("JOBPROC_JOB_LOG_SUMMARY", "true")
        self.env.setdefault("JOBPROC_API_URL", self.base)  # for operations that submit further jobs
        self.postgres: Postgres | None = None
        self.redis: Redis | None = None
        self.children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all processes and wait until the API is ready."""
        if not port_is_free(self.port, self.host):
            raise RunError(
                f"port {self.port} of {self.host} is taken: end the process that listens there, "
                "or choose another port with `make run PORT=8001`"
            )
        self.logs.mkdir(parents=True, exist_ok=True)
        ports = remembered_ports(self.folder)
        if not self.env.get("DATABASE_URL"):
            self.postgres = Postgres(self.folder / "postgres", self.logs / "postgres.log", ports["postgres"])
            say(f"starting PostgreSQL (data in {self.folder / 'postgres'})")
            self.postgres.start()
            self.env["DATABASE_URL"] = self.postgres.url()
        if not self.env.get("REDIS_URL"):
            self.redis = Redis(self.folder / "redis", self.logs / "redis.log", ports["redis"])
            say(f"starting Redis (data in {self.folder / 'redis'})")
            self.redis.start()
            self.env["REDIS_URL"] = self.redis.url
        say("migrating")
        if self._child("migrate", "common.migrate").wait(120):
            raise RunError(self._exit_message("migrate"))
        del self.children["migrate"]
        say(f"starting the API, a worker and the controller (logs in {self.logs})")
        self._child("api", "api", "--host", self.host, "--port", str(self.port))
        self._child("worker", "worker", "--queues", "default", "--concurrency", "2")
        self._child("controller", "worker.controller")
        wait_for("the API", self._ready, limit_s=30)

    def _child(self, name: str, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = self.logs / f"{name}.log"
        log.unlink(missing_ok=True)
        self.children[name] = spawn([sys.executable, "-m", module, *arguments], log, self.env, cwd=ROOT)
        return self.children[name]

    def _ready(self) -> bool:
        self.check()
        try:
            return bool(self._call("GET", "/readyz")["ready"])
        except (OSError, ValueError):
            return False

    def _call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - http, our own
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            return dict(json.load(response))

    def check(self) -> None:
        """Raise RunError if a child has ended, with the last lines of its log."""
        for name, process in self.children.items():
            if process.poll() is not None:
                raise RunError(self._exit_message(name))

    def _exit_message(self, name: str) -> str:
        log, code = self.logs / f"{name}.log", self.children[name].returncode
        lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return f"{name} ended with code {code}; the end of {log}:\n    " + "\n    ".join(lines)

    def first_job(self) -> None:
        """Submit a job and print the responses up to its result. Raises RunError if the result is not 14."""
        body = json.dumps(SAMPLE, separators=(",", ":"))
        print(f"\n  POST {self.base}/jobs/ {body}")
        response = self._call("POST", "/jobs/", SAMPLE)
        print(f"  {json.dumps(response)}")
        path = f"/jobs/{response['job_id']}"
        until = time.monotonic() + 30
        while (response := self._call("GET", f"{path}/status"))["status"] not in (
            "SUCCESS",
            "FAILED",
        ) and time.monotonic() < until:
            self.check()
            time.sleep(0.02)
        print(f"  GET {path}/status\n  {json.dumps(response)}")
        response = self._call("GET", f"{path}/result")
        print(f"  GET {path}/result\n  {json.dumps(response)}", flush=True)
        if response["result"] != 14.0:  # noqa: PLR2004 - 1 + 4 + 9
            raise RunError(f"the first job did not end with 14.0; see {self.logs}")

    def stop(self) -> None:
        """Stop every process that was started: the children first, then the servers."""
        for process in self.children.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.children.values():
            stop(process)
        for server in (self.redis, self.postgres):
            if server is not None:
                server.stop()


def locked(folder: Path) -> IO[str]:
    """Take the lock of a folder and return its file. Raises RunError if another run holds it."""
    folder.mkdir(exist_ok=True)
    lock = (folder / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise RunError("`make run` already runs in this folder: end it with Ctrl-C first") from error
    return lock


def main() -> int:
    """Run until Ctrl-C, or with --once until the first job has ended. Return the exit code."""
    parser = command_line("tools.run", __doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address of the API (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="port of the API (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=ROOT / ".local", help="folder of the data and logs")
    parser.add_argument("--once", action="store_true", help="stop after the first job")
    arguments = parser.parse_args()
    folder = Path(os.path.relpath(arguments.folder.resolve()))
    run = Run(arguments.host, arguments.port, folder)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with locked(folder):
            try:
                run.start()
                run.first_job()
                if not arguments.once:
                    print(f"\n  serving on {run.base} (docs at {run.base}/docs); Ctrl-C ends it", flush=True)
                while not arguments.once:
                    run.check()
                    time.sleep(0.5)
            finally:
                say("stopping")
                run.stop()
    except KeyboardInterrupt:
        return 0
    except (RunError, RuntimeError, urllib.error.URLError) as error:
        print(f"run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
