"""CPU time and memory that the attempts of a process take."""

import os
import time
from resource import RUSAGE_SELF, getrusage

from worker.execution.pending_results import PendingResults

_PEAK = "/proc/self/clear_refs"
_RESET = b"5"  # proc(5): the peak of memory begins anew at what is there now
_KIB_A_MIB = 1024


class ResourceUsage:
    """What this process takes: CPU and memory, asked for once a batch, for the kernel takes longer to answer than many a job to run.

    CPU time is shared out by the time that each job was in its operation: exact for one that is alone in its batch.
    """

    def __init__(self) -> None:
        self._cpu_s = 0.0
        try:
            self._peak_file = os.open(_PEAK, os.O_WRONLY)
        except OSError:  # not Linux: the peak is that of the process's life
            self._peak_file = -1

    def start(self) -> None:
        """Measure from now on."""
        self._cpu_s = time.process_time()
        if self._peak_file >= 0:
            os.write(self._peak_file, _RESET)

    def measure(self, pending: PendingResults, running_s: float = 0.0) -> None:
        """Say what attempts took that have ended since. `running_s`: seconds that another one has been in its operation meanwhile."""
        wall_s = pending.run_s + running_s
        share = (time.process_time() - self._cpu_s) / wall_s if wall_s else 0.0
        pending.set_usage(share, getrusage(RUSAGE_SELF).ru_maxrss / _KIB_A_MIB)
