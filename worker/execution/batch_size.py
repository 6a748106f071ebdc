"""The batch size of claims, adaptive: as many jobs as take about `batch_s` seconds; one job while jobs are long."""

from dataclasses import dataclass, field

WEIGHT = 0.2  # of the newest measurement in the running mean: it takes five batches to follow a change


@dataclass(slots=True)
class BatchSize:
    """Batch sizes of one process, from running means of how long its jobs take."""

    batch_s: float  #: a batch should take about this long
    max_jobs: int  #: upper limit of a batch
    _mean_by_queue: dict[str, float] = field(default_factory=dict)
    _mean_by_operation: dict[str, float] = field(default_factory=dict)

    def jobs(self, queue: str) -> int:
        """Return the number of jobs to claim from a queue: 1 until a batch of it was measured."""
        mean = self._mean_by_queue.get(queue)
        return 1 if mean is None else max(1, min(self.max_jobs, int(self.batch_s / max(mean, 1e-9))))

    def is_long(self, operation: str) -> bool:
        """Return True if a job may delay others: its operation was not measured yet, or takes as long as a batch."""
        return self._mean_by_operation.get(operation, self.batch_s) >= self.batch_s

    def learn_queue(self, queue: str, seconds: float, jobs: int) -> None:
        """Add the duration of a batch to the mean of its queue."""
        self._mean_by_queue[queue] = _mean(self._mean_by_queue.get(queue), seconds / jobs)

    def learn_operation(self, operation: str, seconds: float) -> None:
        """Add the duration of a job to the mean of its operation."""
        self._mean_by_operation[operation] = _mean(self._mean_by_operation.get(operation), seconds)


def _mean(before: float | None, now: float) -> float:
    return now if before is None else before + WEIGHT * (now - before)
