"""What has ended in a process and is not stored yet."""

from dataclasses import replace
from typing import TYPE_CHECKING

from common.domain.decisions import Decision, Spent
from common.domain.job import Claimed
from common.store.jobs.claims import Results

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext


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
