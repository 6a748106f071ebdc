"""Partitions made ahead, finished jobs removed, old rows of workers forgotten."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store import keys, partitions, retention, workers
from common.store.session import Hot
from common.telemetry import logs

log = logs.get("controller")


def make_partitions(engine: Engine, settings: Settings) -> None:
    """Make the partitions of the next days."""
    with engine.begin() as connection:
        for period in partitions.make(connection, settings.partition_days, settings.partitions_ahead):
            log.info("partition_made", period=period.suffix)


def remove_finished(engine: Engine, settings: Settings) -> None:
    """Remove finished jobs past retention, a partition at a time; one whose lock is not to be had waits for the next look."""
    with engine.begin() as connection:
        cut_ms, ended = retention.ended_periods(connection, settings.retention_days)
    for period in ended:
        try:
            with engine.begin() as connection:
                left = retention.clear(connection, period, cut_ms)
            if not left:
                with engine.begin() as connection:
                    retention.drop_empty(connection, period)
            log.info("partition_cleared", period=period.suffix, jobs_left=left)
        except DBAPIError as error:
            log.warning("retention_waits", period=period.suffix, reason=str(error.orig).strip())


def forget_workers(hot: Hot, settings: Settings) -> int:
    """Delete the rows of worker processes that ended before retention."""
    return workers.forget(hot, settings.retention_days)


def forget_keys(engine: Engine) -> None:
    """Delete idempotency keys whose time is over, and unique keys that nobody holds."""
    with engine.begin() as connection:
        keys.forget(connection)
