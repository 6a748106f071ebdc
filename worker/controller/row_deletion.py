"""Row-by-row deletion of finished jobs and of their inputs, at a limited rate and within a share of each tick."""

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
MAX_JOBS = 500  # deleted in one transaction: about 20 ms
SCANNED_PER_DELETED = 10  # jobs scanned at the cost of one that is deleted
RESCAN_INTERVAL_S = 21_600.0  # between two scans of a period: nearly all its jobs ended on its day, and go in the first
TICK_SHARE = 0.25  # of a tick, at most: rescue waits meanwhile

Scan = Callable[[WorkerConnection, Period, UUID, int], DeletionBatch]


@dataclass(slots=True)
class ScanProgress:
    """Progress of the scan of a period. In memory: a new leader starts again, and finds what is left."""

    position: UUID
    deleted: int = 0
    finished_at: float | None = None  #: monotonic seconds


class PeriodScans:
    """Scans periods one after the other, and each again after RESCAN_INTERVAL_S."""

    def __init__(self, scan: Scan, log_finished: Callable[[Period, int], None]) -> None:
        """`log_finished`: called at the end of a scan with the number of jobs it has deleted, unless that is 0."""
        self._scan = scan
        self._log_finished = log_finished
        self._progress: dict[Period, ScanProgress] = {}

    def set_periods(self, periods: list[Period]) -> None:
        """Set the periods to scan. Those that were set before continue."""
        self._progress = {
            period: self._progress.get(period) or ScanProgress(by_row.first_position(period)) for period in periods
        }

    def run_batch(self, connection: WorkerConnection, limit: int) -> DeletionBatch | None:
        """Scan the next `limit` jobs. Returns None if no scan is due."""
        now = time.monotonic()
        for period, progress in self._progress.items():
            if progress.finished_at is not None and now - progress.finished_at >= RESCAN_INTERVAL_S:
                progress = ScanProgress(by_row.first_position(period))  # noqa: PLW2901 - the scan starts again
                self._progress[period] = progress
            if progress.finished_at is None:
                return self._scan_next(connection, period, progress, limit)
        return None

    def _scan_next(
        self, connection: WorkerConnection, period: Period, progress: ScanProgress, limit: int
    ) -> DeletionBatch:
        batch = self._scan(connection, period, progress.position, limit)
        progress.position, progress.deleted = batch.position, progress.deleted + batch.deleted
        if batch.is_last:
            progress.finished_at = time.monotonic()
            if progress.deleted:
                self._log_finished(period, progress.deleted)
        return batch


def _log_jobs(period: Period, count: int) -> None:
    log.info("jobs_deleted", period=period.suffix, count=count)


def _log_inputs(period: Period, count: int) -> None:
    log.info("inputs_deleted", period=period.suffix, count=count)


class RowDeletion:
    """Deletion of rows in batches, within the budget of a tick."""

    def __init__(self, settings: Settings) -> None:
        self._jobs_per_tick = max(1, round(settings.deletion_jobs_per_second * settings.tick_seconds))
        self._share_s = settings.tick_seconds * TICK_SHARE
        self._budget = 0
        self._deadline = 0.0
        self._cutoffs = RetentionCutoffs(0, 0, 0)
        self._input_cutoff_ms = 0
        self._jobs = PeriodScans(
            lambda connection, period, position, limit: by_row.delete_past_retention(
                connection, period, position, limit, self._cutoffs
            ),
            _log_jobs,
        )
        self._inputs = PeriodScans(
            lambda connection, period, position, limit: by_row.delete_inputs(
                connection, period, position, limit, self._input_cutoff_ms
            ),
            _log_inputs,
        )

    def begin_tick(self) -> None:
        """Reset the budget of jobs and of time to that of one tick."""
        self._budget, self._deadline = self._jobs_per_tick, time.monotonic() + self._share_s

    def configure(
        self, cutoffs: RetentionCutoffs, crowded: list[Period], input_cutoff_ms: int, with_inputs: list[Period]
    ) -> None:
        """Set the cutoffs and the periods to scan.

        `crowded`: periods with too many survivors to be cleared as a whole. `with_inputs`: periods whose inputs go.
        """
        self._cutoffs, self._input_cutoff_ms = cutoffs, input_cutoff_ms
        self._jobs.set_periods(crowded)
        self._inputs.set_periods(with_inputs)

    def delete_expired(self, connection: WorkerConnection) -> int:
        """Delete jobs whose own retention time (`keep`) is over. Returns how many."""
        deleted = 0
        while (limit := self._batch_limit()) > 0:
            checked, removed = per_job.delete_expired(connection, limit)
            deleted, self._budget = deleted + removed, self._budget - checked
            if checked < limit:
                break
        return deleted

    def delete_past_retention(self, connection: WorkerConnection) -> int:
        """Delete jobs past retention from crowded periods. Returns how many."""
        return self._run_batches(partial(self._jobs.run_batch, connection))

    def delete_inputs(self, connection: WorkerConnection) -> int:
        """Delete inputs of finished jobs. Returns of how many jobs."""
        return self._run_batches(partial(self._inputs.run_batch, connection))

    def _run_batches(self, run_batch: Callable[[int], DeletionBatch | None]) -> int:
        deleted = 0
        while (limit := self._batch_limit()) > 0 and (batch := run_batch(limit)) is not None:
            deleted += batch.deleted
            self._budget -= batch.deleted + batch.scanned // SCANNED_PER_DELETED + 1
        return deleted

    def _batch_limit(self) -> int:
        return min(self._budget, MAX_JOBS) if time.monotonic() < self._deadline else 0
