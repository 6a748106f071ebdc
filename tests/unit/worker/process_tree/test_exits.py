"""The exits of processes, before and after the pool has read their exit codes."""

import os
import signal
import subprocess
import sys

import pytest

from worker.process_tree.exits import MAX_CODES, ProcessExits, described_exit


def start(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("import os; os._exit(3)", 3),
        ("pass", 0),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 11)", -signal.SIGSEGV),
    ],
)
def test_the_exit_code_is_known_before_and_after_the_pool_has_read_it(end: str, code: int) -> None:
    exits, process = ProcessExits(), start(end)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert exits.code(process.pid) == code
    process.communicate()
    assert process.returncode == code, "the pool can read it"
    assert exits.code(process.pid) is None
    exits.add(process.pid, code)
    assert exits.code(process.pid) == code
    exits.forget(process.pid)
    assert exits.code(process.pid) is None


def test_a_process_that_runs_has_no_exit_code() -> None:
    process = start("input()")
    assert ProcessExits().code(process.pid) is None
    process.communicate(b"\n")


def test_the_exit_of_a_killed_process_is_expected_once() -> None:
    exits = ProcessExits()
    exits.expect(7)
    assert (exits.is_expected(7), exits.is_expected(8)) == (True, False)
    exits.add(7, -9)
    assert not exits.is_expected(7), "another process may get the pid"


def test_codes_that_nobody_asks_for_are_forgotten() -> None:
    exits = ProcessExits()
    for pid in range(10_000_000, 10_000_000 + MAX_CODES + 1):
        exits.add(pid, 1)
    assert exits.code(10_000_000) is None
    assert exits.code(10_000_000 + MAX_CODES) == 1


@pytest.mark.parametrize(
    ("code", "text"),
    [(3, "ended with exit code 3"), (-11, "was ended by SIGSEGV"), (-40, "was ended by signal 40")],
)
def test_an_exit_is_described(code: int, text: str) -> None:
    assert described_exit(code) == text
