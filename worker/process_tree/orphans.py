"""Orphans: processes that operations have started and whose worker process has ended. The worker's parent ends them."""

import os
import signal
from collections.abc import Callable, Iterable

from worker.process_tree.processes import (
    ProcessEntry,
    all_processes,
    become_subreaper,
    descendants,
    reap,
    send_signal,
)

KILL_LIMIT_S = 5.0  # longest wait after SIGKILL: a process may hang in the kernel


class Orphans:
    """Ends the orphans of a worker's processes, also those with their own session or forked twice."""

    def __init__(self, grace_s: float) -> None:
        """`grace_s`: seconds between SIGTERM and SIGKILL. Makes this process the parent of its orphaned descendants."""
        self._grace_s = grace_s
        self._asked_at_s: dict[int, float] = {}  # by pid: when it got SIGTERM
        self._worker_processes: set[int] = set()  # the pool reads their exit codes
        become_subreaper()

    def ask_to_end(self, worker_process: int, now_s: float) -> bool:
        """Send SIGTERM to the descendants of a worker process that is about to be killed. Return True if it has any."""
        found = descendants(worker_process, all_processes())
        self._ask(found, now_s)
        return bool(found)

    def have_ended(self, worker_processes: Callable[[], Iterable[int]], now_s: float) -> bool:
        """Return True if there is no orphan. Sends SIGTERM to new ones, and SIGKILL to those past the grace.

        `worker_processes` returns the pids of this worker's processes, ended ones too. Once its pid is known, such a
        process leaves this one's process group, so every other child with another group is an orphan.
        """
        processes = all_processes()
        self._worker_processes = {pid for pid in self._worker_processes if pid in processes} | {*worker_processes()}
        group = os.getpgid(0)
        children = [process for process in processes.values() if process.parent == os.getpid()]
        orphans = [child for child in children if child.group != group and child.pid not in self._worker_processes]
        below = [process for orphan in orphans for process in descendants(orphan.pid, processes)]
        for orphan in orphans:
            if orphan.state == "Z":
                reap(orphan.pid)
        running = [process for process in (*orphans, *below) if process.state != "Z"]
        self._ask(running, now_s)
        for process in running:
            if now_s - self._asked_at_s[process.pid] > self._grace_s:
                send_signal(process.pid, signal.SIGKILL)
        pids = {process.pid for process in running}
        self._asked_at_s = {pid: asked_s for pid, asked_s in self._asked_at_s.items() if pid in pids}
        return all(now_s - asked_s > self._grace_s + KILL_LIMIT_S for asked_s in self._asked_at_s.values())

    def _ask(self, processes: Iterable[ProcessEntry], now_s: float) -> None:
        for process in processes:
            if process.pid not in self._asked_at_s:
                self._asked_at_s[process.pid] = now_s
                send_signal(process.pid, signal.SIGTERM)
