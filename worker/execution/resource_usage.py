"""CPU time and memory used by the attempts of a process."""

import os
import time
from resource import RUSAGE_SELF, getrusage

from worker.execution.pending_results import PendingResults

_CLEAR_REFS = "/proc/self/clear_refs"
_RESET_PEAK = b"5"  # proc(5): resets the peak of resident memory to its present size
_KIB_PER_MIB = 1024


class ResourceUsage:
    """Measures CPU and memory of this process, once a batch: the kernel takes longer to answer than many a job runs.

    CPU time is divided among the attempts by the time that each spent in its operation. It is exact for a job that is
    alone in its batch.
    """

    def __init__(self) -> None:
        self._cpu_s = 0.0
        try:
            self._peak_file = os.open(_CLEAR_REFS, os.O_WRONLY)
        except OSError:  # not Linux: the peak is that since the start of the process
            self._peak_file = -1

    def start(self) -> None:
        """Start to measure."""
        self._cpu_s = time.process_time()
        if self._peak_file >= 0:
            os.write(self._peak_file, _RESET_PEAK)

    def measure(self, pending: PendingResults, running_s: float = 0.0) -> None:
        """Set the usage of the attempts that have ended since the start.

        `running_s`: seconds that one more attempt, still running, has spent in its operation since then.
        """
        wall_s = pending.execution_s + running_s
        cpu_share = (time.process_time() - self._cpu_s) / wall_s if wall_s else 0.0
        pending.set_usage(cpu_share, getrusage(RUSAGE_SELF).ru_maxrss / _KIB_PER_MIB)
