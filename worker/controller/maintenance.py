"""Partitions made ahead, finished jobs removed, old rows of workers forgotten."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store.connection.psycopg2_session import Hot
from common.store.retention import by_partition, keys
from common.store.retention.by_partition import Cuts
from common.store.schema import partitions
from common.store.schema.partitions import Period
from common.store.workers import leases
from common.telemetry import logs
from worker.controller.row_deletion import Removal

log = logs.get("controller")


def make_partitions(engine: Engine, settings: Settings) -> None:
    """Make the partitions of the next days."""
    with engine.begin() as connection:
        for period in partitions.make(connection, settings.partition_days, settings.partitions_ahead):
            log.info("partition_made", period=period.suffix)


def remove_finished(engine: Engine, settings: Settings, removal: Removal) -> None:
    """Remove finished jobs past retention, a partition at a time; one whose lock is not to be had waits for the next look.

    Where too many must stay the others go one by one, and so do inputs: `removal` is told of these partitions.
    """
    with engine.begin() as connection:
        cuts, ended = by_partition.ended_periods(connection, by_partition.Kept.of(settings))
        input_cut_ms = partitions.database_ms(connection) - settings.payload_days * partitions.DAY_MS
        with_inputs = by_partition.periods_before(connection, input_cut_ms) if settings.payload_days else []
    crowded = [period for period in ended if _clear(engine, period, cuts) > by_partition.MOST_SURVIVORS]
    removal.look_at(cuts, crowded, input_cut_ms, with_inputs)


def _clear(engine: Engine, period: Period, cuts: Cuts) -> int:
    """Clear a partition, and drop it when nothing is left; returns how many jobs stay, 0 where that is not known."""
    try:
        with engine.begin() as connection:
            left = by_partition.clear(connection, period, cuts)
        if left > by_partition.MOST_SURVIVORS:
            return left
        more = True
        while more:
            with engine.begin() as connection:
                more = by_partition.forget_beside(connection, period)
        if not left:
            with engine.begin() as connection:
                by_partition.drop_empty(connection, period)
        log.info("partition_cleared", period=period.suffix, jobs_left=left)
    except DBAPIError as error:
        log.warning("retention_waits", period=period.suffix, reason=str(error.orig).strip())
        return 0
    return left


def forget_workers(hot: Hot, settings: Settings) -> int:
    """Delete the rows of worker processes that ended before retention."""
    return leases.forget(hot, settings.retention_days)


def forget_keys(engine: Engine) -> None:
    """Delete idempotency keys whose time is over, and unique keys that nobody holds."""
    with engine.begin() as connection:
        keys.forget(connection)
