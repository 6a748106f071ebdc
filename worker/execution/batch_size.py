"""How many jobs to take at once: about so much work, one job when it is long."""

from dataclasses import dataclass, field

WEIGHT = 0.2  # of the newest measurement in the running mean: five batches to believe a change


@dataclass(slots=True)
class BatchSize:
    """Running means of one process."""

    batch_s: float  #: a claim takes about this much work
    max_jobs: int  #: and never more jobs than this
    _mean_by_queue: dict[str, float] = field(default_factory=dict)
    _mean_by_operation: dict[str, float] = field(default_factory=dict)

    def jobs(self, queue: str) -> int:
        """Return how many jobs of a queue to claim; one while nothing is known of it."""
        mean = self._mean_by_queue.get(queue)
        return 1 if mean is None else max(1, min(self.max_jobs, int(self.batch_s / max(mean, 1e-9))))

    def is_long(self, operation: str) -> bool:
        """Return whether a job may keep others waiting: nothing is known of its operation, or it fills a batch alone."""
        return self._mean_by_operation.get(operation, self.batch_s) >= self.batch_s

    def learn_queue(self, queue: str, seconds: float, jobs: int) -> None:
        """Take in how long a batch took."""
        self._mean_by_queue[queue] = _mean(self._mean_by_queue.get(queue), seconds / jobs)

    def learn_operation(self, operation: str, seconds: float) -> None:
        """Take in how long one job took."""
        self._mean_by_operation[operation] = _mean(self._mean_by_operation.get(operation), seconds)


def _mean(before: float | None, now: float) -> float:
    return now if before is None else before + WEIGHT * (now - before)
