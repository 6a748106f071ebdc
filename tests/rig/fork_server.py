"""Processes of jobproc that a test need not wait for: forked off one that has imported its libraries already, a second of CPU each.

What such a process runs, and how it ends, is as if it had been started by `python -m`: only the imports are done before.
"""

import atexit
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tools.servers import dies_with_parent

ROOT = Path(__file__).resolve().parents[2]
#: What the processes import in any case, whatever their settings say.
AHEAD = (
    *("api.app", "api.web.client_timeouts", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on"),
    *(
        "worker.app",
        "worker.celery_adapter.consumer",
        "worker.celery_adapter.transport",
        "worker.controller.rescue",
        "worker.controller.metrics",
        "worker.controller.row_deletion",
    ),
    *("worker.controller.leader", "worker.controller.maintenance", "celery.apps.worker", "celery.concurrency.prefork", "celery.worker.components"),
    *("celery.fixups.django", "celery.loaders.app", "kombu.transport.redis", "sqlalchemy.dialects.postgresql.psycopg2", "psycopg2.extras"),
)
#: Settings that an interpreter, or its loader, reads before a line of ours.
EARLY = ("PYTHON", "LD_", "FAKETIME")
PAUSE_S = 0.01


class Child:
    """A process that the nursery has forked; the part of subprocess.Popen that tests use."""

    def __init__(self, nursery: "Nursery", pid: int, args: Sequence[str]) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._nursery = nursery

    def poll(self) -> int | None:
        """Return its exit code, minus the signal that ended it, None while it runs."""
        if self.returncode is None:
            self.returncode = self._nursery.ask({"poll": self.pid})
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            time.sleep(PAUSE_S)
        return code

    def send_signal(self, sign: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sign)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end, unless it has ended."""
        self.send_signal(signal.SIGTERM)


class Nursery:
    """The process that has imported everything, and whom its children have for a parent."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str], folder: Path) -> Child:
        """Start `python -m module arguments` in a session of its own."""
        pid = self.ask({"module": module, "arguments": list(arguments), "log": str(log), "env": dict(env), "folder": str(folder)})
        return Child(self, pid, [sys.executable, "-m", module, *arguments])

    def ask(self, request: dict[str, Any]) -> Any:
        """Ask, and return the answer."""
        with self._lock:
            process = self._process or self._open()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

    def _open(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.rig.fork_server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, **path()}, cwd=ROOT
        )
        atexit.register(self._close)
        return self._process

    def _close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def path() -> dict[str, str]:
    """Return where Python looks for the code of jobproc and the operations of its tests."""
    return {"PYTHONPATH": os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "tests" / "operations"))}


def fit(env: Mapping[str, str]) -> bool:
    """Return whether a process with this environment may be forked: nothing in it comes too late."""
    early = {name: value for name, value in env.items() if name.startswith(EARLY)}
    return early == {**{name: value for name, value in os.environ.items() if name.startswith(EARLY)}, **path()}


def serve() -> dict[str, Any] | None:
    """Answer requests; returns None at their end, and in each child what it is to run."""
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        answer = ended(request["poll"]) if "poll" in request else os.fork()
        if answer == 0 and "module" in request:
            return dict(request)
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()
    return None


def ended(pid: int) -> int | None:
    """Return the exit code of a child, None while it runs."""
    gone, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if gone else None


def become(request: dict[str, Any]) -> None:
    """Be what was asked for, as if just started."""
    os.setsid()
    dies_with_parent()
    for path_, flags, places in ((os.devnull, os.O_RDONLY, (0,)), (request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, (1, 2))):
        opened = os.open(path_, flags, 0o644)
        for place in places:
            os.dup2(opened, place)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    sys.argv = [request["module"], *request["arguments"]]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    """Import, then answer."""
    for module in AHEAD:
        import_module(module)
    if request := serve():
        become(request)


if __name__ == "__main__":
    main()
