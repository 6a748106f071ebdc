"""Processes of this machine, from /proc. On a system without /proc there are none to see."""

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)


@dataclass(frozen=True, slots=True)
class ProcessEntry:
    """A line of proc(5) stat."""

    pid: int
    name: str
    state: str  #: Z: it has ended, and its parent has not read its exit code
    parent: int
    group: int


def become_subreaper() -> None:
    """Let orphaned descendants of this process become its children, instead of those of process 1."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with(parent: int) -> None:
    """Let the kernel kill this process when its parent ends, for whatever reason."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if sys.platform == "linux" and os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def has_children() -> bool:
    """Return True if this process has a child, running or not waited for. Takes half a microsecond."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def child_pids() -> frozenset[int]:
    """Return the pids of this process's children."""
    pids: set[int] = set()
    for thread in (PROC / "self" / "task").iterdir():
        with suppress(FileNotFoundError):  # the thread has ended, or the kernel has no such file
            pids.update(map(int, (thread / "children").read_text().split()))
    return frozenset(pids)


def all_processes() -> dict[int, ProcessEntry]:
    """Return every process by its pid."""
    found = {}
    for folder in PROC.iterdir() if PROC.exists() else ():
        if folder.name.isdigit() and (entry := read(int(folder.name))) is not None:
            found[entry.pid] = entry
    return found


def read(pid: int) -> ProcessEntry | None:
    """Return a process; None: there is none with this pid."""
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    state, parent, group = rest.split()[:3]
    return ProcessEntry(pid, name, state, int(parent), int(group))


def is_alive(pid: int) -> bool:
    """Return True if a process has not ended."""
    return state_of(pid) not in "ZX"


def state_of(pid: int) -> str:
    """Return the state letter of a process as in proc(5), X if there is no such process."""
    if PROC.exists():
        entry = read(pid)
        return entry.state if entry else "X"
    try:  # a system without /proc
        os.kill(pid, 0)
    except ProcessLookupError:
        return "X"
    return "T"


def descendants(root: int, processes: Mapping[int, ProcessEntry]) -> list[ProcessEntry]:
    """Return the descendants of a process, parents before their children. Raises ValueError for 0, the kernel."""
    if root <= 0:
        raise ValueError(f"{root} is no process")
    children: dict[int, list[ProcessEntry]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found, parents = list[ProcessEntry](), [root]
    while parents:
        new = children.pop(parents.pop(), [])
        found += new
        parents += [process.pid for process in new]
    return found


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended. Raises ValueError for a pid that stands for many processes."""
    if pid <= 1:
        raise ValueError(f"{pid} is not one process")
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def reap(pid: int) -> None:
    """Read the exit code of a child that may have ended, so that no zombie stays."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def end_this_process() -> None:
    """End this process at once and without its event loop: the parent finds that and recovers its jobs."""
    os.kill(os.getpid(), signal.SIGKILL)
