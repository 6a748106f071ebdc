"""Finished jobs that go one by one, and inputs that go before their jobs: so many a second, a part of each tick."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.retention import by_row, per_job
from common.store.retention.by_partition import RetentionCutoffs
from common.store.retention.by_row import DeletionBatch
from common.store.schema.partitions import Period
from common.telemetry import logs

log = logs.get("controller")
MAX_JOBS = 500  # removed in one transaction: about 20 ms
SCANNED_PER_DELETED = 10  # jobs looked at for the cost of one that is removed
RESCAN_INTERVAL_S = 21_600.0  # between two walks through a period: nearly all in it ended on its day, and go in the first
TICK_SHARE = 0.25  # of a tick, at most: who has to be rescued waits meanwhile

Scan = Callable[[WorkerConnection, Period, UUID, int], DeletionBatch]


@dataclass(slots=True)
class ScanProgress:
    """How far a walk through a period is. In memory: another leader begins anew, and finds what is left."""

    position: UUID
    deleted: int = 0
    finished_at: float | None = None  #: by the monotonic clock


class PeriodScans:
    """Walks through periods, one after the other, each again from time to time."""

    def __init__(self, walk: Scan, say: Callable[[Period, int], None]) -> None:
        """`say`: told of how many jobs a walk has moved, at its end."""
        self._scan = walk
        self._log = say
        self._progress: dict[Period, ScanProgress] = {}

    def set_periods(self, periods: list[Period]) -> None:
        """Say which periods there are to walk through."""
        self._progress = {period: self._progress.get(period) or ScanProgress(by_row.first_position(period)) for period in periods}

    def run_batch(self, connection: WorkerConnection, limit: int) -> DeletionBatch | None:
        """Look at the next jobs, at most so many. None: there is nothing to do now."""
        now = time.monotonic()
        for period, one in self._progress.items():
            if one.finished_at is not None and now - one.finished_at >= RESCAN_INTERVAL_S:
                self._progress[period] = one = ScanProgress(by_row.first_position(period))  # noqa: PLW2901 - begun anew
            if one.finished_at is None:
                return self._scan_next(connection, period, one, limit)
        return None

    def _scan_next(self, connection: WorkerConnection, period: Period, one: ScanProgress, most: int) -> DeletionBatch:
        step = self._scan(connection, period, one.position, most)
        one.position, one.deleted = step.position, one.deleted + step.deleted
        if step.is_last:
            one.finished_at = time.monotonic()
            if one.deleted:
                self._log(period, one.deleted)
        return step


def _log_jobs(period: Period, count: int) -> None:
    log.info("jobs_removed", period=period.suffix, count=count)


def _log_inputs(period: Period, count: int) -> None:
    log.info("inputs_removed", period=period.suffix, count=count)


class RowDeletion:
    """What is removed one by one."""

    def __init__(self, settings: Settings) -> None:
        self._jobs_per_tick = max(1, round(settings.removal_jobs_per_second * settings.tick_seconds))
        self._share_s = settings.tick_seconds * TICK_SHARE
        self._budget = 0
        self._deadline = 0.0
        self._cutoffs = RetentionCutoffs(0, 0, 0)
        self._input_cutoff_ms = 0
        self._jobs = PeriodScans(lambda connection, period, at, most: by_row.delete_past_retention(connection, period, at, most, self._cutoffs), _log_jobs)
        self._inputs = PeriodScans(lambda connection, period, at, most: by_row.delete_inputs(connection, period, at, most, self._input_cutoff_ms), _log_inputs)

    def begin_tick(self) -> None:
        """Let so many be removed as belong to a tick."""
        self._budget, self._deadline = self._jobs_per_tick, time.monotonic() + self._share_s

    def configure(self, cutoffs: RetentionCutoffs, crowded: list[Period], input_cutoff_ms: int, with_inputs: list[Period]) -> None:
        """Say what is past; `crowded`: periods that cannot go as a whole, `with_inputs`: those whose inputs may go."""
        self._cutoffs, self._input_cutoff_ms = cutoffs, input_cutoff_ms
        self._jobs.set_periods(crowded)
        self._inputs.set_periods(with_inputs)

    def delete_expired(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """Remove jobs that were kept for a time of their own. Returns how many."""
        moved = 0
        while (most := self._batch_limit()) > 0:
            looked, removed = per_job.delete_expired(connection, most)
            moved, self._budget = moved + removed, self._budget - looked
            if looked < most:
                break
        return moved, set()

    def delete_past_retention(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """Remove jobs past retention from periods that cannot go as a whole. Returns how many."""
        return self._run_batches(partial(self._jobs.run_batch, connection))

    def delete_inputs(self, connection: WorkerConnection) -> tuple[int, set[str]]:
        """Remove inputs of finished jobs. Returns of how many."""
        return self._run_batches(partial(self._inputs.run_batch, connection))

    def _run_batches(self, walk: Callable[[int], DeletionBatch | None]) -> tuple[int, set[str]]:
        moved = 0
        while (most := self._batch_limit()) > 0 and (step := walk(most)) is not None:
            moved, self._budget = moved + step.deleted, self._budget - step.deleted - step.scanned // SCANNED_PER_DELETED - 1
        return moved, set()

    def _batch_limit(self) -> int:
        return min(self._budget, MAX_JOBS) if time.monotonic() < self._deadline else 0
