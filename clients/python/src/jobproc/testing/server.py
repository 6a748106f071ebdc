"""A jobproc system for tests: the embedded one of the server's repository, or one that runs already."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

from pydantic_core import to_jsonable_python

from jobproc.errors import JobprocError
from jobproc.operations import GROUP

REPOSITORY_VARIABLE = "JOBPROC_REPOSITORY"
URL_VARIABLE = "JOBPROC_URL"
KEY_VARIABLE = "JOBPROC_API_KEY"  # of a system that runs already
START_S, STOP_S = 120.0, 30.0
REQUEST_S = 40.0  # longer than a long poll
POLL_S = 0.1
TAIL_LINES = 20
ENDED = {"SUCCESS", "FAILED", "CANCELLED"}
# Runs `python -m tools.run`, which ends when this process does, however that ends (Linux).
_RUN = """\
import ctypes, runpy, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
runpy.run_module("tools.run", run_name="__main__", alter_sys=True)
"""


class ServerError(JobprocError):
    """The system of the tests has failed."""


class Server:
    """A client of a running system, of the few requests that tests need."""

    def __init__(self, url: str, api_key: str = "") -> None:
        """`api_key`: empty: the system needs none."""
        self.url = url.rstrip("/")
        self._api_key = api_key

    def submit(self, operation: str, job_input: object = None, **options: Any) -> str:
        """Submit a job, and return its id. `options`: as those of the HTTP API. Raises ServerError."""
        body = {"operation": operation, **options} | ({} if job_input is None else {"input": job_input})
        return str(self._call("POST", "/jobs/", to_jsonable_python(body, bytes_mode="base64"))["job_id"])

    def wait(self, job_id: str, limit_s: float = 30.0) -> dict[str, Any]:
        """Wait until a job has ended, and return all that the API says of it. Raises ServerError after `limit_s`."""
        until = time.monotonic() + limit_s
        while (job := self.job(job_id))["status"] not in ENDED:
            if time.monotonic() > until:
                raise ServerError(f"job {job_id} is {job['status']} after {limit_s:g} s")
            time.sleep(POLL_S)
        return job

    def result(self, job_id: str, limit_s: float = 30.0) -> Any:
        """Wait for a job, and return its result. Raises ServerError if it has none."""
        job = self.wait(job_id, limit_s)
        if job["status"] != "SUCCESS":
            raise ServerError(f"job {job_id} ended {job['status']}: {json.dumps(job.get('error'))}")
        return self._call("GET", f"/jobs/{job_id}/result")["result"]

    def job(self, job_id: str) -> dict[str, Any]:
        """Return all that the API says of a job. Raises ServerError."""
        return self._call("GET", f"/jobs/{job_id}")

    def is_ready(self) -> bool:
        """Return True if the API answers, and its database too."""
        try:
            return bool(self._call("GET", "/readyz").get("ready"))
        except ServerError:
            return False

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)  # noqa: S310 - the URL of a system that the tests' owner has named
        if self._api_key:  # unredirected: another host must not get it
            request.add_unredirected_header("Authorization", f"Bearer {self._api_key}")
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_S) as response:  # noqa: S310 - likewise
                return dict(json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                raise ServerError(f"{method} {path}: {error.code}: {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise ServerError(f"{method} {path}: {self.url} gave no valid response: {error}") from error


class EmbeddedServer(Server):
    """A system of the server's repository, with PostgreSQL and Redis of its own, on free ports."""

    def __init__(self, repository: Path, folder: Path) -> None:
        """`folder`: of its data and logs."""
        self._port = free_port()
        super().__init__(f"http://127.0.0.1:{self._port}")
        self._repository = repository
        self._folder = folder
        self._log = folder / "run.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything, and wait until it serves. Raises ServerError, with the end of its output."""
        arguments = ["--port", str(self._port), "--folder", str(self._folder / "data")]
        output: IO[bytes]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the server of the repository that the tests' owner has named
                [python_of(self._repository), "-c", _RUN, *arguments],
                cwd=self._repository,
                env=environment(self._folder / "operations"),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + START_S
        while not ("serving on" in self._log.read_text(errors="replace") and self.is_ready()):
            if self._process.poll() is not None or time.monotonic() > until:
                tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
                self.stop()
                raise ServerError(f"the system of {self._repository} did not start; the end of {self._log}:\n{tail}")
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop everything."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def repository_at(setting: str | None) -> Path | None:
    """Return the server's repository: that of the setting, else the one that is importable. None: there is none.

    Raises ServerError if the setting names a folder without it.
    """
    if setting:
        repository = Path(setting).expanduser().resolve()
        if not _is_repository(repository):
            raise ServerError(f"{REPOSITORY_VARIABLE}={setting}: there is no repository of jobproc")
        return repository
    for name in ("worker", "api"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin and _is_repository(found := Path(spec.origin).parent.parent):
            return found
    return None


def _is_repository(folder: Path) -> bool:
    return all((folder / name).exists() for name in ("tools/servers.py", "worker/operations", "api"))


def python_of(repository: Path) -> str:
    """Return the interpreter of the repository's environment, this process's if it has none."""
    own = repository / ".venv" / "bin" / "python"
    return str(own) if own.exists() else sys.executable


def environment(folder: Path) -> Mapping[str, str]:
    """Return the environment in which a worker finds the operations that are installed beside the tests.

    Writes their entry points into a folder. What their packages depend on must be installed beside the server.
    """
    points = {point.value: point.name for point in entry_points(group=GROUP)}
    metadata = folder / "operations_under_test-1.0.dist-info"
    metadata.mkdir(parents=True, exist_ok=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: operations-under-test\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for value, name in sorted(points.items())]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    sources = {str(source) for value in points if (source := _source(value, folder)) is not None}
    paths = [str(folder), *sorted(sources), *filter(None, [os.environ.get("PYTHONPATH")])]
    ours = {name for name in os.environ if name.startswith("JOBPROC_") or name in {"DATABASE_URL", "REDIS_URL"}}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONPATH": os.pathsep.join(paths)}


def _source(module: str, links: Path) -> Path | None:
    """Return the folder from which a worker can import a module. None: there is none.

    The folder of a package that is installed as a copy has others too, which could differ from those of the server, so
    that package alone is linked.
    """
    spec = importlib.util.find_spec(module.partition(".")[0])
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    top = file.parent if file.name == "__init__.py" else file
    if top.parent.name not in {"site-packages", "dist-packages"}:
        return top.parent
    if not (link := links / top.name).exists():
        link.symlink_to(top)
    return None


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
