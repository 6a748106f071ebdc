"""What has ended in a process and is not stored yet."""

from dataclasses import replace
from typing import TYPE_CHECKING

from common.domain.decisions import AttemptUsage, Decision
from common.domain.job import ClaimedJob
from common.store.jobs.claims import Results

if TYPE_CHECKING:  # imported only while tracing is on
    from opentelemetry.trace import SpanContext


class PendingResults:
    """Attempts that have ended."""

    __slots__ = ("decisions", "results", "spans")

    def __init__(self) -> None:
        self.results = Results()
        self.decisions: list[tuple[ClaimedJob, Decision]] = []
        self.spans: list[tuple[str, SpanContext]] = []  #: of the runs that are traced, each with its queue

    def __len__(self) -> int:
        return len(self.results.ids) + len(self.decisions)

    @property
    def run_s(self) -> float:
        """Seconds that all of them were in their operations."""
        return sum(self.results.run_us) / 1e6 + sum(decision.failure.usage.run_s or 0.0 for _, decision in self.decisions)

    def set_usage(self, cpu_share: float, peak_mib: float) -> None:
        """Write down what they took: so much of the time in their operations was CPU time, and the most memory meanwhile."""
        self.results.cpu_share, self.results.peak_mib = cpu_share, peak_mib
        self.decisions = [(job, _with_usage(decision, cpu_share, peak_mib)) for job, decision in self.decisions]


def _with_usage(decision: Decision, cpu_share: float, peak_mib: float) -> Decision:
    failure = decision.failure
    if failure.usage.run_s is None:  # it never ran
        return decision
    return replace(decision, failure=replace(failure, usage=AttemptUsage(failure.usage.run_s, failure.usage.run_s * cpu_share, peak_mib)))
