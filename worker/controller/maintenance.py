"""Partitions made ahead, finished jobs removed, old rows of workers forgotten."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.retention import by_partition, keys
from common.store.retention.by_partition import RetentionCutoffs
from common.store.schema import partitions
from common.store.schema.partitions import Period
from common.store.workers import leases
from common.telemetry import logs
from worker.controller.row_deletion import RowDeletion

log = logs.get("controller")


def create_partitions(engine: Engine, settings: Settings) -> None:
    """Make the partitions of the next days."""
    with engine.begin() as connection:
        for period in partitions.create_missing(connection, settings.partition_days, settings.partitions_ahead):
            log.info("partition_made", period=period.suffix)


def delete_finished(engine: Engine, settings: Settings, row_deletion: RowDeletion) -> None:
    """Remove finished jobs past retention, a partition at a time; one whose lock is not to be had waits for the next look.

    Where too many must stay the others go one by one, and so do inputs: `removal` is told of these partitions.
    """
    with engine.begin() as connection:
        cuts, ended = by_partition.removable_periods(connection, by_partition.RetentionDays.from_settings(settings))
        input_cut_ms = partitions.database_unix_ms(connection) - settings.payload_days * partitions.DAY_MS
        with_inputs = by_partition.periods_before(connection, input_cut_ms) if settings.payload_days else []
    crowded = [period for period in ended if _clear_partition(engine, period, cuts) > by_partition.MAX_SURVIVORS]
    row_deletion.configure(cuts, crowded, input_cut_ms, with_inputs)


def _clear_partition(engine: Engine, period: Period, cutoffs: RetentionCutoffs) -> int:
    """Clear a partition, and drop it when nothing is left; returns how many jobs stay, 0 where that is not known."""
    try:
        with engine.begin() as connection:
            left = by_partition.clear_partition(connection, period, cutoffs)
        if left > by_partition.MAX_SURVIVORS:
            return left
        more = True
        while more:
            with engine.begin() as connection:
                more = by_partition.delete_orphans(connection, period)
        if not left:
            with engine.begin() as connection:
                by_partition.drop_empty(connection, period)
        log.info("partition_cleared", period=period.suffix, jobs_left=left)
    except DBAPIError as error:
        log.warning("retention_waits", period=period.suffix, reason=str(error.orig).strip())
        return 0
    return left


def delete_ended_workers(connection: WorkerConnection, settings: Settings) -> int:
    """Delete the rows of worker processes that ended before retention."""
    return leases.delete_ended(connection, settings.retention_days)


def delete_expired_keys(engine: Engine) -> None:
    """Delete idempotency keys whose time is over, and unique keys that nobody holds."""
    with engine.begin() as connection:
        keys.delete_expired(connection)
