"""Scans of periods: one after the other, each again after some hours."""

from typing import cast
from uuid import UUID

import pytest

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.retention import by_row
from common.store.retention.by_row import DeletionBatch
from common.store.schema.partitions import DAY_MS, Period
from worker.controller import row_deletion
from worker.controller.row_deletion import PeriodScans

FIRST, SECOND = Period(DAY_MS, 2 * DAY_MS), Period(2 * DAY_MS, 3 * DAY_MS)
CONNECTION = cast("WorkerConnection", None)  # the scan here queries no database


class Table:
    """Periods of a number of jobs, each of which is deleted."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.scanned: list[tuple[Period, int]] = []
        self.logged: list[tuple[Period, int]] = []
        self.scans = PeriodScans(self.scan, lambda period, count: self.logged.append((period, count)))

    def scan(self, _connection: WorkerConnection, period: Period, position: UUID, limit: int) -> DeletionBatch:
        done = position.int - by_row.first_position(period).int
        scanned = min(limit, self.jobs - done)
        self.scanned.append((period, scanned))
        return DeletionBatch(scanned, scanned, UUID(int=position.int + scanned), scanned < limit)

    def run_batches(self, limit: int) -> int:
        count = 0
        while self.scans.run_batch(CONNECTION, limit) is not None:
            count += 1
        return count


def test_each_period_is_scanned_to_its_end_and_its_deletions_are_logged_once() -> None:
    table = Table(5)
    table.scans.set_periods([FIRST, SECOND])
    assert table.run_batches(2) == 6
    assert table.scanned == [(FIRST, 2), (FIRST, 2), (FIRST, 1), (SECOND, 2), (SECOND, 2), (SECOND, 1)]
    assert table.logged == [(FIRST, 5), (SECOND, 5)]


def test_a_period_that_is_set_again_continues_and_a_period_that_is_not_is_dropped() -> None:
    table = Table(5)
    table.scans.set_periods([FIRST])
    table.scans.run_batch(CONNECTION, 3)
    table.scans.set_periods([FIRST, SECOND])
    assert table.run_batches(100) == 2
    assert table.scanned == [(FIRST, 3), (FIRST, 2), (SECOND, 5)]
    table.scans.set_periods([])
    assert table.run_batches(100) == 0


def test_a_period_is_scanned_again_after_some_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that ended late are past retention later than the rest of their period."""
    table = Table(1)
    table.scans.set_periods([FIRST])
    assert table.run_batches(100) == 1
    monkeypatch.setattr(row_deletion, "RESCAN_INTERVAL_S", 0.0)
    assert table.scans.run_batch(CONNECTION, 100) is not None
    assert table.logged == [(FIRST, 1)] * 2
