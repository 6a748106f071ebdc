"""What a worker has finished, by minute and queue: written with its leases, read by GET /stats."""

from collections.abc import Callable, Mapping

from worker.shared_memory.metrics import WorkerMetrics

MINUTES = 16  # kept: fifteen whole ones and the one under way
Recent = Mapping[str, Mapping[str, tuple[int, int]]]  # Unix minute; queue; succeeded, failed


class Throughput:
    """The counts since the last renewal go to one row of this worker; each is written once."""

    def __init__(self, meters: WorkerMetrics, clock: Callable[[], float]) -> None:
        """`clock`: Unix seconds."""
        self._metrics = meters
        self._clock = clock
        self._counted: dict[str, tuple[int, int]] = {}  # what has been written down of it, by queue
        self._worker, self._row = 0, dict[str, dict[str, tuple[int, int]]]()
        self._next = self._worker, self._row, self._counted

    def row_for_worker(self, worker: int) -> Recent:
        """Return what the row of this worker is to hold. Say `stored` once it does; without, the next call takes the same counts in again."""
        minute, counted = int(self._clock()) // 60, self._metrics.finished_by_queue()
        before = self._row if worker == self._worker else {}  # the row of another process keeps what it has
        row = {at: queues for at, queues in before.items() if minute - int(at) < MINUTES}
        new = {queue: _difference(both, self._counted.get(queue, (0, 0))) for queue, both in counted.items()}
        had = row.get(str(minute), {})
        if any(any(both) for both in new.values()):
            row[str(minute)] = {queue: _sum(had.get(queue, (0, 0)), new.get(queue, (0, 0))) for queue in {*had, *new}}
        self._next = worker, row, counted
        return row

    def mark_stored(self) -> None:
        """Say that the row holds it."""
        self._worker, self._row, self._counted = self._next


def _difference(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] - other[0], one[1] - other[1]


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]
