"""Leftovers: processes that an attempt has started and that outlive it. Their worker process ends them."""

import os
import signal
import sys
import time
from collections.abc import Iterable

from worker.process_tree.processes import (
    ProcessEntry,
    all_processes,
    become_subreaper,
    child_pids,
    descendants,
    has_children,
    read,
    reap,
    send_signal,
)

POLL_S = 0.005
KILL_LIMIT_S = 1.0  # longest wait after SIGKILL: a process may hang in the kernel


class Leftovers:
    """Ends the leftovers of attempts in a worker process. Processes that run before the first attempt may stay."""

    def __init__(self, grace_s: float) -> None:
        """`grace_s`: seconds between SIGTERM and SIGKILL. Makes this process the parent of its orphaned descendants."""
        self._grace_s = grace_s
        become_subreaper()
        self._kept = child_pids() if has_children() else frozenset[int]()

    def find(self) -> list[ProcessEntry]:
        """Return every leftover that runs, and its descendants. Half a microsecond if this process has no child."""
        if not has_children():
            return []
        tracker, forkserver = _multiprocessing_helpers()
        if child_pids() <= self._kept | {tracker}:
            return []
        processes = all_processes()
        below = {process.pid: process for process in descendants(os.getpid(), processes)}
        spared = {pid for pid in (*self._kept, tracker) if pid in below}
        spared |= {process.pid for pid in spared for process in descendants(pid, processes)} | {forkserver}
        found = [process for pid, process in below.items() if pid not in spared]
        for process in found:
            if process.state == "Z" and process.parent == os.getpid():
                reap(process.pid)
        return [process for process in found if process.state != "Z"]

    def end(self, leftovers: Iterable[ProcessEntry]) -> None:
        """Send SIGTERM to processes, and SIGKILL to those that have not ended after the grace."""
        running = _running(process.pid for process in leftovers)
        for number, limit_s in ((signal.SIGTERM, self._grace_s), (signal.SIGKILL, KILL_LIMIT_S)):
            for pid in running:
                send_signal(pid, number)
            until_s = time.monotonic() + limit_s
            while running and time.monotonic() < until_s:
                time.sleep(POLL_S)
                running = _running(running)


def _multiprocessing_helpers() -> tuple[int, int]:
    """Return the pids of the resource tracker and of the fork server of `multiprocessing`; 0: there is none.

    Both live as long as the process that uses them, by design.
    """
    tracker = sys.modules.get("multiprocessing.resource_tracker")
    server = sys.modules.get("multiprocessing.forkserver")
    return (
        getattr(getattr(tracker, "_resource_tracker", None), "_pid", None) or 0,
        getattr(getattr(server, "_forkserver", None), "_forkserver_pid", None) or 0,
    )


def _running(pids: Iterable[int]) -> list[int]:
    running = []
    for pid in pids:
        reap(pid)
        if (process := read(pid)) is not None and process.state != "Z":
            running.append(pid)
    return running
