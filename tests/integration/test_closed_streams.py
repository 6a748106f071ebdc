"""Processes that are started without standard input, output and error, as some init scripts do."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rig.system import System

from tools.servers import spawn, stop, wait_for

CLOSED = "import os, sys; os.closerange(0, 3); os.execv(sys.executable, [sys.executable, '-m', *sys.argv[1:]])"


@pytest.fixture
def start_closed(system: System) -> Callable[..., int]:
    """Return a function that starts a part of jobproc with closed streams, and returns its pid."""

    def start(module: str, *arguments: str) -> int:
        process = spawn([sys.executable, "-c", CLOSED, module, *arguments], system.log_file(module), system.env)
        system.processes[module] = process
        return process.pid

    return start


def test_a_job_runs_though_no_process_has_standard_streams(system: System, start_closed: Callable[..., int]) -> None:
    pids = [
        start_closed("api", "--port", str(system.port)),
        start_closed("worker", "--concurrency", "1"),
        start_closed("worker.controller"),
    ]
    wait_for("the API", system._answers, system.processes["api"], 20)
    wait_for("the worker", lambda: bool(system._workers()), system.processes["worker"], 20)
    for operation, data in (("square_sum", [1, 2]), ("fail_times", [1]), ("await_effect", [0.01, 5])):
        assert system.wait(system.submit(operation, *data))["status"] == "SUCCESS"
    for pid in (*pids, *system.children("worker")):
        assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in range(3)} == {os.devnull}
    for module, process in system.processes.items():
        stop(process, signal.SIGTERM, 10)
        assert process.wait() in (0, -signal.SIGTERM), module
