"""What has ended in a process and is not stored yet, and what it took."""

import os
import time
from dataclasses import replace
from resource import RUSAGE_SELF, getrusage
from typing import TYPE_CHECKING

from common.domain.decisions import Decision, Spent
from common.domain.job import Claimed
from common.store.claims import Results

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext

_PEAK = "/proc/self/clear_refs"
_RESET = b"5"  # proc(5): the peak of memory begins anew at what is there now
_KIB_A_MIB = 1024


class Endings:
    """Attempts that have ended."""

    __slots__ = ("decided", "results", "spans")

    def __init__(self) -> None:
        self.results = Results()
        self.decided: list[tuple[Claimed, Decision]] = []
        self.spans: list[tuple[str, SpanContext]] = []  #: of the runs that are traced, each with its queue

    def __len__(self) -> int:
        return len(self.results.ids) + len(self.decided)

    @property
    def run_s(self) -> float:
        """Seconds that all of them were in their operations."""
        return sum(self.results.run_us) / 1e6 + sum(decision.failure.spent.run_s or 0.0 for _, decision in self.decided)

    def took(self, cpu_share: float, peak_mib: float) -> None:
        """Write down what they took: so much of the time in their operations was CPU time, and the most memory meanwhile."""
        self.results.cpu_share, self.results.peak_mib = cpu_share, peak_mib
        self.decided = [(job, _with(decision, cpu_share, peak_mib)) for job, decision in self.decided]


def _with(decision: Decision, cpu_share: float, peak_mib: float) -> Decision:
    failure = decision.failure
    if failure.spent.run_s is None:  # it never ran
        return decision
    return replace(decision, failure=replace(failure, spent=Spent(failure.spent.run_s, failure.spent.run_s * cpu_share, peak_mib)))


class Consumption:
    """What this process takes: CPU and memory, asked for once a batch, for the kernel takes longer to answer than many a job to run.

    CPU time is shared out by the time that each job was in its operation: exact for one that is alone in its batch.
    """

    def __init__(self) -> None:
        self._cpu_s = 0.0
        try:
            self._peak = os.open(_PEAK, os.O_WRONLY)
        except OSError:  # not Linux: the peak is that of the process's life
            self._peak = -1

    def begin(self) -> None:
        """Measure from now on."""
        self._cpu_s = time.process_time()
        if self._peak >= 0:
            os.write(self._peak, _RESET)

    def measure(self, ended: Endings, running_s: float = 0.0) -> None:
        """Say what attempts took that have ended since. `running_s`: seconds that another one has been in its operation meanwhile."""
        wall_s = ended.run_s + running_s
        share = (time.process_time() - self._cpu_s) / wall_s if wall_s else 0.0
        ended.took(share, getrusage(RUSAGE_SELF).ru_maxrss / _KIB_A_MIB)
