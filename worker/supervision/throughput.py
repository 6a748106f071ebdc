"""Finished jobs of a worker by minute and queue. The parent stores them with its leases; GET /stats reads them."""

from collections.abc import Callable, Mapping

from worker.shared_memory.metrics import WorkerMetrics

MINUTES = 16  # kept: fifteen whole ones and the current one
FinishedByMinute = Mapping[str, Mapping[str, tuple[int, int]]]  # Unix minute; queue; succeeded, failed


class Throughput:
    """Adds the counts since the last renewal to one row of this worker, each exactly once."""

    def __init__(self, metrics: WorkerMetrics, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds."""
        self._metrics = metrics
        self._clock = clock
        self._stored_totals: dict[str, tuple[int, int]] = {}  # by queue: the counts that rows contain already
        self._worker, self._row = 0, dict[str, dict[str, tuple[int, int]]]()
        self._next = self._worker, self._row, self._stored_totals

    def row_for_worker(self, worker: int) -> FinishedByMinute:
        """Return the counts to store in this worker's row.

        Call `mark_stored` after the commit. Without it the next call returns the same counts again.
        """
        minute, totals = int(self._clock()) // 60, self._metrics.finished_by_queue()
        previous = self._row if worker == self._worker else {}  # the row of another process keeps its counts
        row = {at: queues for at, queues in previous.items() if minute - int(at) < MINUTES}
        new = {queue: _difference(counts, self._stored_totals.get(queue, (0, 0))) for queue, counts in totals.items()}
        old = row.get(str(minute), {})
        if any(any(counts) for counts in new.values()):
            row[str(minute)] = {queue: _sum(old.get(queue, (0, 0)), new.get(queue, (0, 0))) for queue in {*old, *new}}
        self._next = worker, row, totals
        return row

    def mark_stored(self) -> None:
        """Record that the row of the last `row_for_worker` was committed."""
        self._worker, self._row, self._stored_totals = self._next


def _difference(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return left[0] - right[0], left[1] - right[1]


def _sum(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    return left[0] + right[0], left[1] + right[1]
