"""The tree of processes, and which of them are leftovers."""

import os
import signal
import subprocess
import sys

import pytest

from worker.process_tree import leftovers, processes
from worker.process_tree.leftovers import Leftovers
from worker.process_tree.processes import ProcessEntry, descendants, send_signal


def _entry(pid: int, parent: int) -> ProcessEntry:
    return ProcessEntry(pid, f"p{pid}", "S", parent, pid)


TREE = {entry.pid: entry for entry in (_entry(1, 0), _entry(5, 1), _entry(6, 5), _entry(7, 6), _entry(8, 1))}


def test_descendants_are_found_at_any_depth() -> None:
    assert [process.pid for process in descendants(5, TREE)] == [6, 7]
    assert descendants(7, TREE) == []


def test_zero_has_no_descendants() -> None:
    """It is the parent of every process: what is found there would be ended."""
    with pytest.raises(ValueError, match="no process"):
        descendants(0, TREE)


@pytest.mark.parametrize("pid", [1, 0, -1, -5])
def test_a_signal_goes_to_one_process(pid: int) -> None:
    with pytest.raises(ValueError, match="not one process"):
        send_signal(pid, signal.SIGTERM)


def test_only_descendants_of_this_process_are_leftovers(monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    found = {9: _entry(9, own), 10: _entry(10, 9), 11: _entry(11, own), 12: _entry(12, 11), 13: _entry(13, 1)}
    monkeypatch.setattr(leftovers, "become_subreaper", lambda: None)
    monkeypatch.setattr(leftovers, "has_children", lambda: True)
    monkeypatch.setattr(leftovers, "child_pids", lambda: frozenset({11}))
    monkeypatch.setattr(leftovers, "all_processes", lambda: {**TREE, own: _entry(own, 1), **found})
    kept = Leftovers(1)
    monkeypatch.setattr(leftovers, "child_pids", lambda: frozenset({9, 11}))
    assert [process.pid for process in kept.find()] == [9, 10]


def test_a_program_that_is_started_is_found_and_ended() -> None:
    here = Leftovers(1)
    assert here.find() == []
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        found = here.find()
        assert [process.pid for process in found] == [program.pid]
        here.end(found)
        assert here.find() == []
        assert processes.read(program.pid) is None
    finally:
        program.kill()
        program.wait()
