"""What a worker counts, in memory that its parent shares with its processes: the parent alone answers a scrape.

A place belongs to a seat, not to a process. One that dies leaves its counts where they are and the next one there goes on with them, so
nothing is lost with a process, nothing has to be cleaned up after it, and no file is written.
"""

import mmap
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from common.domain.decisions import AttemptOutcome, Decision, Fail, Release, Retry
from common.domain.job import ClaimedJob
from common.domain.operation_spec import OperationSpec
from common.telemetry import metrics
from common.telemetry.metrics import OTHER, Metric
from worker.shared_memory.exemplars import Exemplars, ExemplarSlot

_WORD = 8
_RUN = metrics.RUN_DURATION.buckets
DEATH_REASONS = ("worker_lost", "timeout", "released", "cancelled", "loop_blocked")  # why a process that ran a job died


class OutcomeLabel(IntEnum):
    """How an attempt ended."""

    SUCCESS = 0
    FAILED = 1
    RETRIED = 2
    RELEASED = 3
    CANCELLED = 4


_LABEL_OF_DECISION = {Fail: OutcomeLabel.FAILED, Retry: OutcomeLabel.RETRIED, Release: OutcomeLabel.RELEASED}


def outcome_label(decision: Decision) -> OutcomeLabel:
    """Return how an attempt without a result ended."""
    return OutcomeLabel.CANCELLED if decision.failure.outcome is AttemptOutcome.CANCELLED else _LABEL_OF_DECISION[type(decision)]


@dataclass(frozen=True, slots=True)
class Series:
    """Where a series is in a place: a word, or for a histogram one for each bucket, one beyond, and the sum."""

    metric: Metric
    labels: tuple[str, ...]
    at: int
    expected: bool = True  #: shown even while it is 0

    @property
    def size(self) -> int:
        """Its words."""
        return len(self.metric.buckets) + 2 if self.metric.buckets else 1


class Layout:
    """Which series there are: those of the operations that are installed and the queues that are served, no others."""

    def __init__(self, operations: Iterable[OperationSpec], queues: Sequence[str]) -> None:
        self.series: list[Series] = []
        self.size = 0
        self._offsets: dict[str, dict[str, tuple[int, int]]] = {}  # by queue and operation: the outcomes, the durations
        self.delays: dict[str, int] = {}
        self.claims: dict[str, int] = {}
        self.empty: dict[str, int] = {}
        of = {spec.name: spec.queue for spec in operations} | {OTHER: ""}
        for name, own in of.items():
            durations = self._add(metrics.RUN_DURATION, (name,), expected=own in queues)
            for queue in queues:
                places = [self._add(metrics.ATTEMPTS, (name, queue, one.name.lower()), expected=own == queue) for one in OutcomeLabel]
                self._offsets.setdefault(queue, {})[name] = places[0], durations
        for queue in queues:
            self.delays[queue] = self._add(metrics.START_DELAY, (queue,))
            self.claims[queue] = self._add(metrics.CLAIM_JOBS, (queue,))
            self.empty[queue] = self._add(metrics.EMPTY_CLAIMS, (queue,))
        self.fenced = self._add(metrics.RESULTS_FENCED, ())
        self.leases_lost = self._add(metrics.LEASES_LOST, ())
        self.deaths = {reason: self._add(metrics.PROCESS_DEATHS, (reason,)) for reason in DEATH_REASONS}

    def outcome_offsets(self) -> Iterator[tuple[str, int]]:
        """Yield each queue with where the outcomes of one of its operations begin."""
        for queue, by_name in self._offsets.items():
            for counts, _ in by_name.values():
                yield queue, counts

    def offsets(self, operation: str, queue: str) -> tuple[int, int]:
        """Return where an operation's outcomes in a queue begin, and its durations; those of `other` when it is not installed."""
        by_name = self._offsets[queue]
        return by_name.get(operation) or by_name[OTHER]

    def _add(self, metric: Metric, labels: tuple[str, ...], *, expected: bool = True) -> int:
        one = Series(metric, labels, self.size, expected)
        self.series.append(one)
        self.size += one.size
        return one.at


class SlotMetrics:
    """One place. Nobody else writes to it, so nothing is locked."""

    def __init__(self, layout: Layout, words: "memoryview[Any]", exemplars: ExemplarSlot | None = None) -> None:
        self._layout = layout
        self._words = words
        self._exemplars = exemplars

    def count_attempt(self, operation: str, queue: str, label: OutcomeLabel, seconds: float | None) -> None:
        """Count an attempt and the time in its operation; None where it had not begun, or nobody knows."""
        words = self._words
        counts, at = self._layout.offsets(operation, queue)
        words[counts + label] += 1
        if seconds is not None:
            words[at + bisect_left(_RUN, seconds)] += 1
            words[at + len(_RUN) + 1] += seconds

    def count_claim(self, queue: str, jobs: Sequence[ClaimedJob]) -> None:
        """Count a look, the jobs that it took and how long they had waited."""
        layout = self._layout
        if not jobs:
            self._words[layout.empty[queue]] += 1
            return
        self._observe(layout.claims[queue], metrics.CLAIM_JOBS.buckets, len(jobs))
        at, buckets, words, waited_s = layout.delays[queue], metrics.START_DELAY.buckets, self._words, 0.0
        for job in jobs:  # as _observe, without a call for each of the many
            words[at + bisect_left(buckets, job.waited_s)] += 1
            waited_s += job.waited_s
        words[at + len(buckets) + 1] += waited_s

    def set_run_exemplar(self, trace_id: int, operation: str, queue: str, seconds: float) -> None:
        """Remember the trace of an attempt that was counted."""
        if self._exemplars is not None:
            self._exemplars.write(self._layout.offsets(operation, queue)[1] + bisect_left(_RUN, seconds), seconds, trace_id)

    def set_delay_exemplar(self, trace_id: int, queue: str, waited_s: float) -> None:
        """Remember the trace of a job whose wait was counted."""
        if self._exemplars is not None:
            self._exemplars.write(self._layout.delays[queue] + bisect_left(metrics.START_DELAY.buckets, waited_s), waited_s, trace_id)

    def count_fenced(self, results: int) -> None:
        """Count results that the fence refused."""
        self._words[self._layout.fenced] += results

    def count_lease_lost(self) -> None:
        """Count a lease that had ended."""
        self._words[self._layout.leases_lost] += 1

    def count_death(self, reason: str) -> None:
        """Count a process that died over a job."""
        self._words[self._layout.deaths[reason]] += 1

    def _observe(self, at: int, buckets: tuple[float, ...], value: float) -> None:
        words = self._words
        words[at + bisect_left(buckets, value)] += 1
        words[at + len(buckets) + 1] += value


class WorkerMetrics(Collector):
    """All places of one worker. Made by the parent before it forks."""

    def __init__(self, layout: Layout, places: int, *, traced: bool = False) -> None:
        """`places`: one for each seat; the parent has one of its own beside them. `traced`: histograms have exemplars."""
        self._layout = layout
        self._exemplars = Exemplars(places, layout.size) if traced else None
        room = max(1, layout.size) * _WORD
        memory = memoryview(mmap.mmap(-1, (places + 1) * room))
        self._places = [memory[n * room : (n + 1) * room].cast("d") for n in range(places + 1)]
        exemplars = self._exemplars.by_slot if self._exemplars else [None] * places
        self.by_slot = [SlotMetrics(layout, words, kept) for words, kept in zip(self._places, exemplars, strict=False)]
        self.parent = SlotMetrics(layout, self._places[-1])

    def finished_by_queue(self) -> dict[str, tuple[int, int]]:
        """Return, by queue, how many attempts have ended their job: with a result, and without; the cancelled ones are in neither."""
        totals: dict[str, tuple[int, int]] = {}
        for queue, at in self._layout.outcome_offsets():
            succeeded, failed = totals.get(queue, (0, 0))
            succeeded += int(sum(words[at + OutcomeLabel.SUCCESS] for words in self._places))
            failed += int(sum(words[at + OutcomeLabel.FAILED] for words in self._places))
            totals[queue] = succeeded, failed
        return totals

    def collect(self) -> Iterator[Any]:
        """Yield the sums of all places."""
        totals = [sum(words) for words in zip(*self._places, strict=True)]
        families: dict[Metric, list[tuple[tuple[str, ...], list[float]]]] = {}
        exemplars: dict[Metric, list[Sequence[Exemplar | None]]] = {}
        for one in self._layout.series:
            words = totals[one.at : one.at + one.size]
            if one.expected or any(words):
                families.setdefault(one.metric, []).append((one.labels, words))
                if one.metric.buckets and self._exemplars is not None:
                    exemplars.setdefault(one.metric, []).append(self._exemplars.newest(one.at, len(words) - 1))
        for metric, values in families.items():
            if metric.buckets:
                yield metrics.histograms(metric, values, exemplars.get(metric))
            else:
                yield metrics.counters(metric, [(labels, words[0]) for labels, words in values])
