"""Retention of the audit log, a partition at a time."""

from sqlalchemy import Connection, text

from common.store.schema.partitions import AUDIT, DAY_MS, Period, database_unix_ms, periods


def expired_periods(connection: Connection, days: int) -> list[Period]:
    """Return the periods of which every entry is older than some days."""
    cutoff_ms = database_unix_ms(connection) - days * DAY_MS
    return [period for period in periods(connection, AUDIT) if period.end <= cutoff_ms]


def drop(connection: Connection, period: Period) -> None:
    """Drop the entries of a period, in the caller's transaction.

    Others wait for its lock, so it waits for that no longer than 100 ms. Then it raises OperationalError: retry later.
    """
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text("SELECT drop_audit_partition(:suffix)"), {"suffix": period.suffix})
