"""What a worker has finished in the last minutes: each job is in it once, whatever becomes of a renewal."""

import pytest

from common.domain.operation_spec import OperationSpec
from worker.shared_memory.metrics import Layout, OutcomeLabel, WorkerMetrics
from worker.supervision.throughput import MINUTES, Throughput


class Worker:
    """Meters, a clock, and the rows as a database would hold them."""

    def __init__(self) -> None:
        self.now = 6_000.0
        self.meters = WorkerMetrics(Layout((OperationSpec("add"),), ["default", "slow"]), 2)
        self.throughput = Throughput(self.meters, lambda: self.now)
        self.rows: dict[int, dict[str, dict[str, tuple[int, int]]]] = {}

    def finish(self, how: OutcomeLabel, count: int = 1, queue: str = "default") -> None:
        for _ in range(count):
            self.meters.by_slot[0].count_attempt("add", queue, how, 0.001)

    def renew(self, worker: int, *, stands: bool = True, known: bool = True) -> None:
        """Write the row; `stands`: it does. `known`: and this worker learns of it."""
        row = self.throughput.row_for_worker(worker)
        if stands and row:
            self.rows[worker] = {minute: dict(queues) for minute, queues in row.items()}
        if stands and known:
            self.throughput.mark_stored()

    def total(self) -> tuple[int, int]:
        counted = [both for row in self.rows.values() for queues in row.values() for both in queues.values()]
        return sum(one for one, _ in counted), sum(other for _, other in counted)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_jobs_are_counted_in_the_minute_in_which_they_are_written_down(worker: Worker) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.finish(OutcomeLabel.FAILED, queue="slow")
    worker.renew(1)
    worker.now += 61
    worker.finish(OutcomeLabel.SUCCESS, 2)
    worker.renew(1)
    assert worker.rows[1] == {"100": {"default": (3, 0), "slow": (0, 1)}, "101": {"default": (2, 0), "slow": (0, 0)}}


def test_what_does_not_end_a_job_is_not_counted(worker: Worker) -> None:
    worker.finish(OutcomeLabel.RETRIED)
    worker.finish(OutcomeLabel.RELEASED)
    worker.renew(1)
    assert worker.rows == {}


@pytest.mark.parametrize("stands", [False, True])
def test_a_renewal_whose_answer_was_lost_counts_nothing_twice(worker: Worker, stands: bool) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.renew(1, stands=stands, known=False)
    worker.finish(OutcomeLabel.SUCCESS, 4)
    worker.renew(1)
    assert worker.total() == (7, 0)


def test_a_process_that_takes_over_does_not_take_the_past_along(worker: Worker) -> None:
    worker.finish(OutcomeLabel.SUCCESS, 3)
    worker.renew(1)
    worker.finish(OutcomeLabel.SUCCESS, 4)
    worker.renew(2)
    worker.finish(OutcomeLabel.FAILED)
    worker.renew(2)
    assert worker.total() == (7, 1)
    assert worker.rows[1] == {"100": {"default": (3, 0), "slow": (0, 0)}}


def test_old_minutes_go(worker: Worker) -> None:
    for _ in range(MINUTES + 10):
        worker.finish(OutcomeLabel.SUCCESS)
        worker.renew(1)
        worker.now += 60
    assert len(worker.rows[1]) == MINUTES
