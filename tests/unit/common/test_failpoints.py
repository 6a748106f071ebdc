"""Failpoints: off unless set, and each of their actions."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import failpoints

ROOT = Path(__file__).resolve().parents[3]
#: From Python 3.12 on, forking beside other threads warns. The children here need no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def _no_failpoint_is_left() -> Iterator[None]:
    yield
    failpoints.arm("")


def status_of_child(flags: int = 0) -> int:
    """Reach a failpoint in a child process; returns the wait status of the child."""
    pid = os.fork()
    if pid == 0:
        try:
            failpoints.reach("attempt.before_operation")
        finally:
            os._exit(7)
    status = os.waitpid(pid, flags)[1]
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return status


def test_nothing_happens_if_no_failpoint_is_set() -> None:
    failpoints.arm("")
    for name in failpoints.NAMES:
        failpoints.reach(name)


def test_a_failpoint_leaves_the_others_off() -> None:
    failpoints.arm("attempt.before_operation=raise")
    for name in failpoints.NAMES - {"attempt.before_operation"}:
        failpoints.reach(name)
    with pytest.raises(RuntimeError, match=r"^failpoint attempt\.before_operation$"):
        failpoints.reach("attempt.before_operation")


def test_setting_failpoints_clears_the_earlier_ones() -> None:
    failpoints.arm("attempt.before_operation=raise; submit.after_commit=raise")
    failpoints.arm("attempt.after_operation=raise")
    failpoints.reach("attempt.before_operation")
    failpoints.reach("submit.after_commit")
    with pytest.raises(RuntimeError):
        failpoints.reach("attempt.after_operation")


def test_kill_ends_the_process_at_once() -> None:
    failpoints.arm("attempt.before_operation=kill")
    assert os.WTERMSIG(status_of_child()) == signal.SIGKILL


def test_stop_freezes_the_process() -> None:
    failpoints.arm("attempt.before_operation=stop")
    status = status_of_child(os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP


def test_sleep_waits_for_its_seconds() -> None:
    failpoints.arm("attempt.before_operation=sleep:0.05")
    began = time.monotonic()
    failpoints.reach("attempt.before_operation")
    assert time.monotonic() - began >= 0.05


def test_a_failpoint_with_a_file_acts_once_each_time_the_file_is_created(tmp_path: Path) -> None:
    once = tmp_path / "once"
    failpoints.arm(f"attempt.before_operation=raise@{once}")
    failpoints.reach("attempt.before_operation")
    for _ in range(2):
        once.touch()
        with pytest.raises(RuntimeError):
            failpoints.reach("attempt.before_operation")
        assert not once.exists()
        failpoints.reach("attempt.before_operation")


@pytest.mark.parametrize(
    "text",
    [
        "nowhere=kill",
        "attempt.before_operation",
        "attempt.before_operation=",
        "attempt.before_operation=explode",
        "attempt.before_operation=raise;x=raise",
    ],
)
def test_an_unknown_name_or_action_is_refused_with_the_list_of_known_ones(text: str) -> None:
    with pytest.raises(
        ValueError,
        match=r"unknown failpoint .*; names: attempt\.after_operation, .*; actions: kill, stop, raise, sleep:SECONDS",
    ):
        failpoints.arm(text)


@pytest.mark.parametrize("action", ["sleep", "sleep:", "sleep:soon", "sleep:-1", "kill:9", "raise:now"])
def test_an_action_with_an_invalid_argument_is_refused_when_it_is_set(action: str) -> None:
    """Refused only when reached, the process would fail in another way than the test asked for."""
    with pytest.raises(ValueError, match="unknown failpoint"):
        failpoints.arm(f"attempt.before_operation={action}")


def test_the_code_reaches_every_failpoint_and_no_other() -> None:
    code = "".join(path.read_text() for part in ("api", "worker", "common") for path in (ROOT / part).rglob("*.py"))
    assert set(re.findall(r'failpoints\.reach\("([^"]+)"\)', code)) == failpoints.NAMES
