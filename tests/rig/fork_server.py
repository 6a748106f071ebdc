"""A fork server: jobproc processes are forked off one that has imported their libraries, which saves a second of CPU.

A forked process runs and ends as if it had been started by `python -m`; only the imports are done before.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from common.command_line import command_line
from tools.servers import dies_with_parent

ROOT = Path(__file__).resolve().parents[2]
#: Modules that the processes import with any settings.
AHEAD = (
    "api.app",
    "api.protocol.client_timeouts",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.lifespan.on",
    "worker.app",
    "worker.celery_adapter.consumer",
    "worker.celery_adapter.transport",
    "worker.controller.rescue",
    "worker.controller.metrics",
    "worker.controller.row_deletion",
    "worker.controller.leader",
    "worker.controller.maintenance",
    "worker.start",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.app.routes",
    "celery.apps.worker",
    "celery.backends.base",
    "celery.concurrency.prefork",
    "celery.events.receiver",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "kombu.transport.redis",
    "billiard.popen_fork",
    "billiard.sharedctypes",
    "common.migrate",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "psycopg2.extras",
)
#: With which billiard asks the kernel for the signal at the death of a parent, if they are installed.
IF_INSTALLED = ("_cffi_backend", "cffi.cparser")
#: Prefixes of variables that the interpreter or its loader reads before any code of jobproc runs.
EARLY = ("PYTHON", "LD_", "FAKETIME")
PAUSE_S = 0.01
SDK = "clients/python/src"


class Child:
    """A process forked by the fork server; has the part of subprocess.Popen that tests use."""

    def __init__(self, fork_server: "ForkServer", pid: int, args: Sequence[str]) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._fork_server = fork_server

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, None while the process runs."""
        if self.returncode is None:
            self.returncode = self._fork_server.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code. Raises subprocess.TimeoutExpired after `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(PAUSE_S)
        return code

    def send_signal(self, sign: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        """Send SIGKILL, unless the process has ended."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM, unless the process has ended."""
        self.send_signal(signal.SIGTERM)


class ForkServer:
    """The client of the fork server, which is the parent of all forked processes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str], folder: Path) -> Child:
        """Start `python -m module arguments` in a new session."""
        pid = self.ask(
            {"module": module, "arguments": list(arguments), "log": str(log), "env": dict(env), "folder": str(folder)}
        )
        return Child(self, pid, [sys.executable, "-m", module, *arguments])

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request to the fork server and return its response."""
        with self._lock:
            process = self._process or self._open()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

    def _open(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **python_path()},
            cwd=ROOT,
        )
        atexit.register(self._close)
        return self._process

    def _close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


#: Folders of PYTHONPATH: the code of jobproc and the operations of its tests.
PATH = tuple(map(str, (ROOT, ROOT / SDK, ROOT / "tests" / "operations")))


def python_path() -> dict[str, str]:
    """Return PYTHONPATH with the code of jobproc and the operations of its tests."""
    return {"PYTHONPATH": os.pathsep.join(PATH)}


def can_fork(env: Mapping[str, str]) -> bool:
    """Return True if a process with this environment can be forked: no variable is read before the fork.

    Of PYTHONPATH the first folders are; those of further packages may follow.
    """
    folders = env.get("PYTHONPATH", "").split(os.pathsep)
    return tuple(folders[: len(PATH)]) == PATH and _early(env) == _early(os.environ)


def _early(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(EARLY) and name != "PYTHONPATH"}


def serve() -> dict[str, Any] | None:
    """Handle requests until stdin ends, and return None. In a forked child, return the request of what to run."""
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        response = exit_code(request["poll"]) if "poll" in request else os.fork()
        if response == 0 and "module" in request:
            return dict(request)
        sys.stdout.buffer.write(json.dumps(response).encode() + b"\n")
        sys.stdout.buffer.flush()
    return None


def exit_code(pid: int) -> int | None:
    """Return the exit code of a child, None while it runs."""
    ended_pid, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended_pid else None


def run_module(request: dict[str, Any]) -> None:
    """Run the requested module in this process, as if just started by `python -m`."""
    os.setsid()
    dies_with_parent()
    for file, flags, descriptors in (
        (os.devnull, os.O_RDONLY, (0,)),
        (request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, (1, 2)),
    ):
        opened = os.open(file, flags, 0o644)
        for descriptor in descriptors:
            os.dup2(opened, descriptor)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    behind = sys.path.index(PATH[-1]) + 1
    sys.path[behind:behind] = request["env"]["PYTHONPATH"].split(os.pathsep)[len(PATH) :]
    sys.path[0] = request["folder"]
    sys.argv = [request["module"], *request["arguments"]]
    sys.modules.pop(request["module"], None)  # else runpy would warn
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import the modules, then handle requests."""
    command_line("rig.fork_server", __doc__).parse_args()
    for module in AHEAD:
        import_module(module)
    for module in IF_INSTALLED:
        with suppress(ModuleNotFoundError):
            import_module(module)
    gc.collect()
    gc.freeze()  # a collection in a forked process does not write to these pages, so none of them is copied
    if request := serve():
        run_module(request)


if __name__ == "__main__":
    main()
