"""Metrics of a worker, in memory that its parent shares with its processes. The parent alone answers a scrape.

Counts belong to a slot, not to a process. The next process in the slot adds to those of the one before, so a process
that ends loses no counts and leaves nothing to clean up, and no file is written.
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
from common.telemetry.job_log_metrics import DROP_REASONS, JOB_LOG_LINES_DROPPED
from common.telemetry.metric_families import Metric, counters, histograms
from common.telemetry.metrics import OTHER
from worker.shared_memory.exemplars import Exemplars, ExemplarSlot

_WORD = 8
_RUN = metrics.RUN_DURATION.buckets
DEATH_REASONS = (
    "worker_lost",
    "timeout",
    "released",
    "cancelled",
    "loop_blocked",
    "exit_ignored",
    "start_failed",
)  # why a process with a job ended, or one whose start hooks failed


class OutcomeLabel(IntEnum):
    """The outcome of an attempt, as a label."""

    SUCCESS = 0
    FAILED = 1
    RETRIED = 2
    RELEASED = 3
    CANCELLED = 4


_LABEL_OF_DECISION = {Fail: OutcomeLabel.FAILED, Retry: OutcomeLabel.RETRIED, Release: OutcomeLabel.RELEASED}


def outcome_label(decision: Decision) -> OutcomeLabel:
    """Return the label of an attempt without a result."""
    return (
        OutcomeLabel.CANCELLED
        if decision.failure.outcome is AttemptOutcome.CANCELLED
        else _LABEL_OF_DECISION[type(decision)]
    )


@dataclass(frozen=True, slots=True)
class Series:
    """The position of a series in a slot: one word; for a histogram one for each bucket, one beyond, and the sum."""

    metric: Metric
    labels: tuple[str, ...]
    offset: int
    expected: bool = True  #: shown even while it is 0

    @property
    def size(self) -> int:
        """The number of its words."""
        return len(self.metric.buckets) + 2 if self.metric.buckets else 1


class Layout:
    """The series of a worker and their offsets: those of installed operations and served queues, no others."""

    def __init__(self, operations: Iterable[OperationSpec], queues: Sequence[str]) -> None:
        self.series: list[Series] = []
        self.size = 0
        self._offsets: dict[str, dict[str, tuple[int, int]]] = {}  # by queue and operation: the outcomes, the durations
        self.delays: dict[str, int] = {}
        self.claims: dict[str, int] = {}
        self.empty: dict[str, int] = {}
        own_queues = {spec.name: spec.queue for spec in operations} | {OTHER: ""}
        for operation, own_queue in own_queues.items():
            durations = self._add(metrics.RUN_DURATION, (operation,), expected=own_queue in queues)
            for queue in queues:
                outcomes = [
                    self._add(metrics.ATTEMPTS, (operation, queue, label.name.lower()), expected=own_queue == queue)
                    for label in OutcomeLabel
                ]
                self._offsets.setdefault(queue, {})[operation] = outcomes[0], durations
        for queue in queues:
            self.delays[queue] = self._add(metrics.START_DELAY, (queue,))
            self.claims[queue] = self._add(metrics.CLAIM_JOBS, (queue,))
            self.empty[queue] = self._add(metrics.EMPTY_CLAIMS, (queue,))
        self.fenced = self._add(metrics.RESULTS_FENCED, ())
        self.leases_lost = self._add(metrics.LEASES_LOST, ())
        self.dropped_lines = {reason: self._add(JOB_LOG_LINES_DROPPED, (reason,)) for reason in DROP_REASONS}
        self.deaths = {reason: self._add(metrics.PROCESS_DEATHS, (reason,)) for reason in DEATH_REASONS}

    def outcome_offsets(self) -> Iterator[tuple[str, int]]:
        """Yield, for each queue and operation, the queue and the offset of the first outcome."""
        for queue, by_operation in self._offsets.items():
            for outcomes, _ in by_operation.values():
                yield queue, outcomes

    def offsets(self, operation: str, queue: str) -> tuple[int, int]:
        """Return the offsets of an operation's outcomes in a queue and of its durations (`other` if not installed)."""
        by_operation = self._offsets[queue]
        return by_operation.get(operation) or by_operation[OTHER]

    def _add(self, metric: Metric, labels: tuple[str, ...], *, expected: bool = True) -> int:
        series = Series(metric, labels, self.size, expected)
        self.series.append(series)
        self.size += series.size
        return series.offset


class SlotMetrics:
    """The metrics of one slot. Only one process writes to them, so there is no lock."""

    def __init__(self, layout: Layout, words: "memoryview[Any]", exemplars: ExemplarSlot | None = None) -> None:
        self._layout = layout
        self._words = words
        self._exemplars = exemplars

    def count_attempt(self, operation: str, queue: str, label: OutcomeLabel, seconds: float | None) -> None:
        """Count an attempt and its duration; `seconds` None: it had not begun, or its duration is unknown."""
        words = self._words
        outcomes, durations = self._layout.offsets(operation, queue)
        words[outcomes + label] += 1
        if seconds is not None:
            words[durations + bisect_left(_RUN, seconds)] += 1
            words[durations + len(_RUN) + 1] += seconds

    def count_claim(self, queue: str, jobs: Sequence[ClaimedJob]) -> None:
        """Count a claim, its jobs and how long they had waited; without jobs, an empty claim."""
        layout = self._layout
        if not jobs:
            self._words[layout.empty[queue]] += 1
            return
        self._observe(layout.claims[queue], metrics.CLAIM_JOBS.buckets, len(jobs))
        offset, buckets, words, waited_s = layout.delays[queue], metrics.START_DELAY.buckets, self._words, 0.0
        for job in jobs:  # as _observe, without a call for each of the many
            words[offset + bisect_left(buckets, job.waited_s)] += 1
            waited_s += job.waited_s
        words[offset + len(buckets) + 1] += waited_s

    def set_run_exemplar(self, trace_id: int, operation: str, queue: str, seconds: float) -> None:
        """Store the trace of an attempt that was counted."""
        if self._exemplars is not None:
            self._exemplars.write(
                self._layout.offsets(operation, queue)[1] + bisect_left(_RUN, seconds), seconds, trace_id
            )

    def set_delay_exemplar(self, trace_id: int, queue: str, waited_s: float) -> None:
        """Store the trace of a job whose start delay was counted."""
        if self._exemplars is not None:
            self._exemplars.write(
                self._layout.delays[queue] + bisect_left(metrics.START_DELAY.buckets, waited_s), waited_s, trace_id
            )

    def count_fenced(self, results: int) -> None:
        """Count results that were fenced."""
        self._words[self._layout.fenced] += results

    def count_lease_lost(self) -> None:
        """Count a lost lease."""
        self._words[self._layout.leases_lost] += 1

    def count_process_death(self, reason: str) -> None:
        """Count a process that ended while it ran a job, or could not start; `reason`: one of DEATH_REASONS."""
        self._words[self._layout.deaths[reason]] += 1

    def count_log_line_dropped(self, reason: str, lines: int = 1) -> None:
        """Count dropped lines of operations; `reason`: one of DROP_REASONS. Several threads may count at a time."""
        self._words[self._layout.dropped_lines[reason]] += lines

    def _observe(self, offset: int, buckets: tuple[float, ...], value: float) -> None:
        words = self._words
        words[offset + bisect_left(buckets, value)] += 1
        words[offset + len(buckets) + 1] += value


class WorkerMetrics(Collector):
    """The metrics of all slots of a worker. Created by the parent before it forks."""

    def __init__(self, layout: Layout, slots: int, *, traced: bool = False) -> None:
        """`slots`: their number; the parent has metrics of its own besides. `traced`: histograms have exemplars."""
        self._layout = layout
        self._exemplars = Exemplars(slots, layout.size) if traced else None
        room = max(1, layout.size) * _WORD
        memory = memoryview(mmap.mmap(-1, (slots + 1) * room))
        self._words_by_slot = [memory[n * room : (n + 1) * room].cast("d") for n in range(slots + 1)]
        exemplars = self._exemplars.by_slot if self._exemplars else [None] * slots
        self.by_slot = [
            SlotMetrics(layout, words, exemplar_slot)
            for words, exemplar_slot in zip(self._words_by_slot, exemplars, strict=False)
        ]
        self.parent = SlotMetrics(layout, self._words_by_slot[-1])

    def finished_by_queue(self) -> dict[str, tuple[int, int]]:
        """Return, by queue, the numbers of jobs that ended SUCCESS and FAILED; CANCELLED ones are in neither."""
        totals: dict[str, tuple[int, int]] = {}
        for queue, offset in self._layout.outcome_offsets():
            succeeded, failed = totals.get(queue, (0, 0))
            succeeded += int(sum(words[offset + OutcomeLabel.SUCCESS] for words in self._words_by_slot))
            failed += int(sum(words[offset + OutcomeLabel.FAILED] for words in self._words_by_slot))
            totals[queue] = succeeded, failed
        return totals

    def collect(self) -> Iterator[Any]:
        """Yield the sums over all slots."""
        totals = [sum(words) for words in zip(*self._words_by_slot, strict=True)]
        families: dict[Metric, list[tuple[tuple[str, ...], list[float]]]] = {}
        exemplars: dict[Metric, list[Sequence[Exemplar | None]]] = {}
        for series in self._layout.series:
            words = totals[series.offset : series.offset + series.size]
            if series.expected or any(words):
                families.setdefault(series.metric, []).append((series.labels, words))
                if series.metric.buckets and self._exemplars is not None:
                    newest = self._exemplars.newest(series.offset, len(words) - 1)
                    exemplars.setdefault(series.metric, []).append(newest)
        for metric, values in families.items():
            if metric.buckets:
                yield histograms(metric, values, exemplars.get(metric))
            else:
                yield counters(metric, [(labels, words[0]) for labels, words in values])
