"""Maintenance of tables: create partitions ahead, delete finished jobs, expired keys and rows of ended workers."""

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs.limits import concurrency_keys
from common.store.operations import sightings
from common.store.retention import audit, by_partition, keys
from common.store.retention.by_partition import RetentionCutoffs
from common.store.schema import partitions
from common.store.schema.partitions import Period
from common.store.workers import leases
from common.telemetry import logs
from worker.controller.row_deletion import RowDeletion

log = logs.get("controller")
UNUSED_KEY_S = 3_600.0
CONCURRENCY_KEYS, CONCURRENCY_KEY_ROUNDS = 5_000, 10  # deleted in one transaction; transactions in one run


def create_partitions(engine: Engine, settings: Settings) -> None:
    """Create the partitions of the next days."""
    with engine.begin() as connection:
        for period in partitions.create_missing(connection, settings.partition_days, settings.partitions_ahead):
            log.info("partition_created", period=period.suffix)


def delete_finished(engine: Engine, settings: Settings, row_deletion: RowDeletion) -> None:
    """Delete finished jobs past retention, a partition at a time. One whose lock is unavailable is retried later.

    Configures `row_deletion` with the partitions in which too many jobs survive for that, and those whose inputs go.
    """
    with engine.begin() as connection:
        cutoffs, ended = by_partition.removable_periods(connection, by_partition.RetentionDays.from_settings(settings))
        input_cutoff_ms = partitions.database_unix_ms(connection) - settings.input_retention_days * partitions.DAY_MS
        with_inputs = by_partition.periods_before(connection, input_cutoff_ms) if settings.input_retention_days else []
    crowded = [period for period in ended if _clear_partition(engine, period, cutoffs) > by_partition.MAX_SURVIVORS]
    row_deletion.configure(cutoffs, crowded, input_cutoff_ms, with_inputs)


def _clear_partition(engine: Engine, period: Period, cutoffs: RetentionCutoffs) -> int:
    """Clear a partition, and drop it when it is empty. Returns how many jobs survive, 0 if unknown."""
    try:
        with engine.begin() as connection:
            survivors = by_partition.clear_partition(connection, period, cutoffs)
        if survivors > by_partition.MAX_SURVIVORS:
            return survivors
        more = True
        while more:
            with engine.begin() as connection:
                more = by_partition.delete_orphans(connection, period)
        if not survivors:
            with engine.begin() as connection:
                by_partition.drop_empty(connection, period)
        log.info("partition_cleared", period=period.suffix, jobs_left=survivors)
    except DBAPIError as error:
        log.warning("retention_deferred", period=period.suffix, reason=str(error.orig).strip())
        return 0
    return survivors


def delete_audit_entries(engine: Engine, settings: Settings) -> None:
    """Delete the partitions of the audit log that are past its retention. One whose lock is unavailable waits."""
    with engine.begin() as connection:
        expired = audit.expired_periods(connection, settings.audit_days)
    for period in expired:
        try:
            with engine.begin() as connection:
                audit.drop(connection, period)
            log.info("audit_partition_dropped", period=period.suffix)
        except DBAPIError as error:
            log.warning("retention_deferred", period=period.suffix, reason=str(error.orig).strip())


def delete_ended_api_keys(engine: Engine, settings: Settings) -> int:
    """Delete the API keys that ended before their retention. Returns how many."""
    with engine.begin() as connection:
        return keys.delete_ended_api_keys(connection, settings.ended_api_key_days)


def delete_ended_workers(connection: WorkerConnection, settings: Settings) -> int:
    """Delete the rows of worker processes that ended before the retention. Returns how many."""
    return leases.delete_ended(connection, settings.retention_days)


def forget_operations(connection: WorkerConnection, settings: Settings) -> None:
    """Delete operations that no worker has known for too long from the list that the API accepts."""
    hours = settings.operation_keep_hours
    if hours and (names := sightings.forget(connection, hours)):
        log.warning("operations_forgotten", operations=names, hours=hours)


def delete_expired_keys(engine: Engine, worker_connection: WorkerConnection) -> None:
    """Delete expired idempotency keys, unique keys that no job holds, and concurrency keys that nobody uses."""
    with engine.begin() as connection:
        keys.delete_expired(connection)
    for _ in range(CONCURRENCY_KEY_ROUNDS):
        if concurrency_keys.delete_unused(worker_connection, UNUSED_KEY_S, CONCURRENCY_KEYS) < CONCURRENCY_KEYS:
            break
