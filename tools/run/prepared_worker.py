"""A worker process that waits to be told to start: the side of `make run`."""

import json
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import ROOT
from tools.run.console import RunError
from tools.servers import spawn, stop

LIMIT_S = 60  # for the import of the operations; one that takes longer makes each start of a worker slow


@dataclass(frozen=True)
class KnownOperations:
    """Names of operations, and the queues that a worker of them serves."""

    names: Sequence[str]
    queues: Sequence[str]


class PreparedWorker:
    """A process of `tools.run.worker`: it imports the operations once, so one that has failed to is of no more use."""

    def __init__(self, log: Path, env: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            argv = [sys.executable, "-m", "tools.run.worker", str(theirs.fileno())]
            self.process: subprocess.Popen[bytes] = spawn(argv, log, env, cwd=ROOT, pass_fds=[theirs.fileno()])
        ours.settimeout(LIMIT_S)
        self._socket = ours
        self._messages = ours.makefile("rw")

    def operations(self) -> KnownOperations:
        """Let the process import the operations. Raises RunError with the traceback and the reason."""
        try:
            self._send({})
            answer: dict[str, Any] = json.loads(self._messages.readline())
        except TimeoutError as error:
            raise RunError(f"the import of the operations has not ended within {LIMIT_S} s") from error
        except (OSError, ValueError) as error:
            stop(self.process)
            code = self.process.returncode
            raise RunError(f"the import of the operations has ended the process with code {code}") from error
        if "error" in answer:
            raise RunError(answer["error"])
        found = answer["operations"]
        return KnownOperations(
            sorted(each["name"] for each in found["operations"]), sorted({"default", *found["queues"]})
        )

    def serve(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Let the process run as a worker with these arguments, and with these variables."""
        self._send({"arguments": list(arguments), "env": dict(env)})
        self._close()

    def stop(self) -> None:
        """End the process, if it has not begun to serve."""
        self._close()
        stop(self.process)

    def _send(self, message: object) -> None:
        self._messages.write(f"{json.dumps(message)}\n")
        self._messages.flush()

    def _close(self) -> None:
        self._messages.close()
        self._socket.close()
