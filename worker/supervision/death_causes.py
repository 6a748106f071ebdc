"""Why a process has ended that its supervisor did not kill, as far as its parent can see."""

import signal

from common.domain.decisions import WORKER_LOST, Failure, worker_lost
from worker.process_tree.exits import ProcessExits, described_exit
from worker.process_tree.memory_limit import MemoryLimit

CODE_LIMIT_S = 1.0  # longest wait for the exit code: the pool may have read it and not noted it yet


class DeathCauses:
    """Finds the causes by exit codes, and by the memory limit of the container."""

    def __init__(self, exits: ProcessExits, memory: MemoryLimit) -> None:
        self._exits = exits
        self._memory = memory
        self._asked_at_s: dict[int, float] = {}  # by pid: when the code was first asked for in vain

    def find(self, pid: int, now_s: float) -> Failure | None:
        """Return the failure of the attempt that the process ran. None: it is not known yet, ask again."""
        code = self._exits.code(pid)
        if code is None:
            return None if now_s - self._asked_at_s.setdefault(pid, now_s) < CODE_LIMIT_S else WORKER_LOST
        how = described_exit(code)
        if code == -signal.SIGKILL and self._memory.has_killed:
            return worker_lost(f"{how}, because {self._memory.described} was used up")
        return worker_lost(how)

    def tick(self) -> None:
        """Take note of the memory kills so far. To be called in each heartbeat."""
        self._memory.tick()

    def forget(self, pid: int) -> None:
        """Forget a process whose jobs are recovered."""
        self._exits.forget(pid)
        self._asked_at_s.pop(pid, None)
