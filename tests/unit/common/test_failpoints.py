"""Failpoints: off unless set, each does what it says."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import failpoints

ROOT = Path(__file__).resolve().parents[3]
#: From Python 3.12 on forking beside other threads warns; what the children here do needs no lock.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture(autouse=True)
def _none_is_left() -> Iterator[None]:
    yield
    failpoints.arm("")


def ended_as(flags: int = 0) -> int:
    """Reach a failpoint in a process of its own; returns how that one ended."""
    pid = os.fork()
    if pid == 0:
        try:
            failpoints.reach("run.before_effect")
        finally:
            os._exit(7)
    status = os.waitpid(pid, flags)[1]
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return status


def test_nothing_happens_where_none_is_set() -> None:
    failpoints.arm("")
    for name in failpoints.NAMES:
        failpoints.reach(name)


def test_one_that_is_set_leaves_the_others_alone() -> None:
    failpoints.arm("run.before_effect=raise")
    for name in failpoints.NAMES - {"run.before_effect"}:
        failpoints.reach(name)
    with pytest.raises(RuntimeError, match=r"^failpoint run\.before_effect$"):
        failpoints.reach("run.before_effect")


def test_setting_others_clears_those_before() -> None:
    failpoints.arm("run.before_effect=raise; submit.after_commit=raise")
    failpoints.arm("run.after_effect=raise")
    failpoints.reach("run.before_effect")
    failpoints.reach("submit.after_commit")
    with pytest.raises(RuntimeError):
        failpoints.reach("run.after_effect")


def test_kill_ends_the_process_at_once() -> None:
    failpoints.arm("run.before_effect=kill")
    assert os.WTERMSIG(ended_as()) == signal.SIGKILL


def test_stop_freezes_the_process() -> None:
    failpoints.arm("run.before_effect=stop")
    status = ended_as(os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    assert os.WSTOPSIG(status) == signal.SIGSTOP


def test_sleep_waits_for_its_seconds() -> None:
    failpoints.arm("run.before_effect=sleep:0.05")
    began = time.monotonic()
    failpoints.reach("run.before_effect")
    assert time.monotonic() - began >= 0.05


def test_one_with_a_file_acts_once_for_each_time_the_file_is_made(tmp_path: Path) -> None:
    once = tmp_path / "once"
    failpoints.arm(f"run.before_effect=raise@{once}")
    failpoints.reach("run.before_effect")
    for _ in range(2):
        once.touch()
        with pytest.raises(RuntimeError):
            failpoints.reach("run.before_effect")
        assert not once.exists()
        failpoints.reach("run.before_effect")


@pytest.mark.parametrize("text", ["nowhere=kill", "run.before_effect", "run.before_effect=", "run.before_effect=explode", "run.before_effect=raise;x=raise"])
def test_an_unknown_name_or_action_is_refused_and_the_known_ones_are_listed(text: str) -> None:
    with pytest.raises(ValueError, match=r"unknown failpoint .*; names: action\.before_commit, .*; actions: kill, stop, raise, sleep:SECONDS"):
        failpoints.arm(text)


@pytest.mark.parametrize("action", ["sleep", "sleep:", "sleep:soon", "sleep:-1", "kill:9", "raise:now"])
def test_an_action_that_could_not_be_done_is_refused_when_it_is_set(action: str) -> None:
    """Not when it is reached: the process would fail in another way than the test asked for."""
    with pytest.raises(ValueError, match="unknown failpoint"):
        failpoints.arm(f"run.before_effect={action}")


def test_every_name_is_reached_somewhere_and_no_other_one() -> None:
    code = "".join(path.read_text() for part in ("api", "worker", "common") for path in (ROOT / part).rglob("*.py"))
    assert set(re.findall(r'failpoints\.reach\("([^"]+)"\)', code)) == failpoints.NAMES
