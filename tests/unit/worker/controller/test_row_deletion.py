"""Walks through periods: one after the other, each again from time to time."""

from typing import cast
from uuid import UUID

import pytest

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.retention import by_row
from common.store.retention.by_row import DeletionBatch
from common.store.schema.partitions import DAY_MS, Period
from worker.controller import row_deletion as walking
from worker.controller.row_deletion import PeriodScans

FIRST, SECOND = Period(DAY_MS, 2 * DAY_MS), Period(2 * DAY_MS, 3 * DAY_MS)
HOT = cast("WorkerConnection", None)  # the walk here asks no database


class Ground:
    """Periods of so many jobs, of which each goes."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.looked: list[tuple[Period, int]] = []
        self.said: list[tuple[Period, int]] = []
        self.walks = PeriodScans(self.step, lambda period, count: self.said.append((period, count)))

    def step(self, _hot: WorkerConnection, period: Period, at: UUID, most: int) -> DeletionBatch:
        done = at.int - by_row.first_position(period).int
        looked = min(most, self.jobs - done)
        self.looked.append((period, looked))
        return DeletionBatch(looked, looked, UUID(int=at.int + looked), looked < most)

    def steps(self, most: int) -> int:
        count = 0
        while self.walks.run_batch(HOT, most) is not None:
            count += 1
        return count


def test_each_period_is_walked_to_its_end_and_what_went_is_said_once() -> None:
    ground = Ground(5)
    ground.walks.set_periods([FIRST, SECOND])
    assert ground.steps(2) == 6
    assert ground.looked == [(FIRST, 2), (FIRST, 2), (FIRST, 1), (SECOND, 2), (SECOND, 2), (SECOND, 1)]
    assert ground.said == [(FIRST, 5), (SECOND, 5)]


def test_a_period_that_is_named_again_goes_on_where_it_was_and_one_that_is_not_is_forgotten() -> None:
    ground = Ground(5)
    ground.walks.set_periods([FIRST])
    ground.walks.run_batch(HOT, 3)
    ground.walks.set_periods([FIRST, SECOND])
    assert ground.steps(100) == 2
    assert ground.looked == [(FIRST, 3), (FIRST, 2), (SECOND, 5)]
    ground.walks.set_periods([])
    assert ground.steps(100) == 0


def test_a_walk_is_begun_anew_after_some_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ended late in a period is past retention later than the rest."""
    ground = Ground(1)
    ground.walks.set_periods([FIRST])
    assert ground.steps(100) == 1
    monkeypatch.setattr(walking, "RESCAN_INTERVAL_S", 0.0)
    assert ground.walks.run_batch(HOT, 100) is not None
    assert ground.said == [(FIRST, 1)] * 2
