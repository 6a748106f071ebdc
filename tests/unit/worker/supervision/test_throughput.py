"""Throughput of a worker in the last minutes: each job is counted once, even if a renewal fails."""

import pytest

from common.domain.operation_spec import OperationSpec
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics
from worker.supervision.throughput import MINUTES, Throughput


class Worker:
    """Metrics, a clock, and the rows as a database would store them."""

    def __init__(self) -> None:
        self.now = 6_000.0
        self.metrics = WorkerMetrics(Layout((OperationSpec("add"),), ["default", "slow"]), 2)
        self.throughput = Throughput(self.metrics, lambda: self.now)
        self.rows: dict[int, dict[str, dict[str, tuple[int, int]]]] = {}

    def finish(self, label: OutcomeLabel, count: int = 1, queue: str = "default") -> None:
        for _ in range(count):
            self.metrics.by_slot[0].count_attempt("add", queue, label, 0.001)

    def renew(self, worker: int, *, committed: bool = True, answered: bool = True) -> None:
        """Store the row. `committed`: it was. `answered`: and the worker receives the answer."""
        row = self.throughput.row_for_worker(worker)
        if committed and row:
            self.rows[worker] = {minute: dict(queues) for minute, queues in row.items()}
        if committed and answered:
            self.throughput.mark_stored()

    def total(self) -> tuple[int, int]:
        counts = [count for row in self.rows.values() for queues in row.values() for count in queues.values()]
        return sum(succeeded for succeeded, _ in counts), sum(failed for _, failed in counts)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_jobs_are_counted_in_the_minute_in_which_they_are_stored(worker: Worker) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.finish(OutcomeLabel.FAILED, queue="slow")
    worker.renew(1)
    worker.now += 61
    worker.finish(OutcomeLabel.SUCCESS, 2)
    worker.renew(1)
    assert worker.rows[1] == {"100": {"default": (3, 0), "slow": (0, 1)}, "101": {"default": (2, 0), "slow": (0, 0)}}


def test_attempts_that_do_not_end_their_job_are_not_counted(worker: Worker) -> None:
    worker.finish(OutcomeLabel.RETRIED)
    worker.finish(OutcomeLabel.RELEASED)
    worker.renew(1)
    assert worker.rows == {}


@pytest.mark.parametrize("committed", [False, True])
def test_a_renewal_whose_answer_was_lost_counts_no_job_twice(worker: Worker, committed: bool) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.renew(1, committed=committed, answered=False)
    worker.finish(OutcomeLabel.SUCCESS, 4)
    worker.renew(1)
    assert worker.total() == (7, 0)


def test_the_row_of_another_process_does_not_repeat_earlier_counts(worker: Worker) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.renew(1)
    worker.finish(OutcomeLabel.SUCCESS, 4)
    worker.renew(2)
    worker.finish(OutcomeLabel.FAILED)
    worker.renew(2)
    assert worker.total() == (7, 1)
    assert worker.rows[1] == {"100": {"default": (3, 0), "slow": (0, 0)}}


def test_old_minutes_are_dropped(worker: Worker) -> None:
    for _ in range(MINUTES + 10):
        worker.finish(OutcomeLabel.SUCCESS)
        worker.renew(1)
        worker.now += 60
    assert len(worker.rows[1]) == MINUTES
