"""Retention by partition: finished jobs are deleted with their partition, after copying aside the few that must stay.

Where many must stay, jobs are deleted by row (`by_row.py`).
"""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from common.settings import Settings
from common.store.retention import stored_bytes
from common.store.schema.partitions import DAY_MS, TABLES, Period, database_unix_ms, periods

MAX_SURVIVORS = 10_000  # copied aside and back under the lock, about 0.2 s; with more, jobs are deleted by row
MAX_ORPHANS = 10_000  # rows of other tables in one transaction

# True for an outcome that is not past retention: it ended after the cutoff of its status.
KEEPS = (
    "{0}.finished_at > to_timestamp("
    "CASE {0}.status WHEN 'FAILED' THEN {failed} WHEN 'CANCELLED' THEN {cancelled} ELSE {success} END / 1000.0)"
)
# The jobs of a period that must stay: not finished, with a `keep_s` of their own, or finished after the cutoff. A job
# may occur twice.
_SURVIVORS = f"""
    SELECT id FROM live WHERE id >= :first AND id < :after
    UNION ALL
    SELECT id FROM expiries WHERE id >= :first AND id < :after
    UNION ALL
    SELECT id FROM outcomes o WHERE id >= :first AND id < :after
      AND {KEEPS.format("o", success=":success_ms", failed=":failed_ms", cancelled=":cancelled_ms")}
"""
# Looking for a removable job may read the whole partition, so it is done only if few jobs survive.
_GATE = text(f"""
    WITH few AS MATERIALIZED (SELECT id FROM ({_SURVIVORS}) s LIMIT :most + 1)
    SELECT n.all_, n.jobs,
           CASE WHEN n.all_ <= :most THEN EXISTS (
               SELECT FROM jobs WHERE id >= :first AND id < :after AND id NOT IN (SELECT id FROM few)) END
    FROM (SELECT count(*) AS all_, count(DISTINCT id) AS jobs FROM few) n
""")
# Rows of deleted jobs in tables without partitions. A statement that inserts such a row holds the job's row.
_SIDE_TABLES = ("runs", "deadlines")
_DELETE_ORPHANS = """
    DELETE FROM {0} WHERE ctid = ANY (ARRAY(
        SELECT r.ctid FROM {0} r
        WHERE r.id >= :first AND r.id < :after AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = r.id) LIMIT :most))
"""


@dataclass(frozen=True, slots=True)
class RetentionDays:
    """Retention of finished jobs in days, by final state."""

    success: int
    failed: int
    cancelled: int

    @staticmethod
    def from_settings(settings: Settings) -> "RetentionDays":
        """Return the retention of the settings; 0 days of failed or cancelled jobs mean those of all jobs."""
        days = settings.retention_days
        return RetentionDays(days, settings.retention_failed_days or days, settings.retention_cancelled_days or days)

    def cutoffs(self, now_ms: int) -> "RetentionCutoffs":
        """Return the cutoffs at a time in Unix milliseconds."""
        return RetentionCutoffs(*(now_ms - days * DAY_MS for days in (self.success, self.failed, self.cancelled)))


@dataclass(frozen=True, slots=True)
class RetentionCutoffs:
    """Times in Unix milliseconds, by final state: jobs that ended earlier are past retention."""

    success_ms: int
    failed_ms: int
    cancelled_ms: int

    @property
    def latest_ms(self) -> int:
        """The latest cutoff: no job that was submitted later is past retention."""
        return max(self.success_ms, self.failed_ms, self.cancelled_ms)


def removable_periods(connection: Connection, retention: RetentionDays) -> tuple[RetentionCutoffs, list[Period]]:
    """Return the cutoffs by the database's clock, and the periods that end before the latest of them."""
    cutoffs = retention.cutoffs(database_unix_ms(connection))
    return cutoffs, periods_before(connection, cutoffs.latest_ms)


def periods_before(connection: Connection, cutoff_ms: int) -> list[Period]:
    """Return the periods that end before a time in Unix milliseconds."""
    return [period for period in periods(connection) if period.end <= cutoff_ms]


def clear_partition(connection: Connection, period: Period, cutoffs: RetentionCutoffs) -> int:
    """Delete the jobs past retention of a period, in the caller's transaction.

    Return the number of jobs that stay, counted up to MAX_SURVIVORS + 1; with more than MAX_SURVIVORS nothing is done.

    The gate runs without a lock, and once more under it before the truncate, so a job that is retried or submitted in
    between is kept. Raises OperationalError if the lock is not free within 100 ms: retry later.
    """
    first, after = period.bounds
    arguments = {
        "first": first,
        "after": after,
        "success_ms": cutoffs.success_ms,
        "failed_ms": cutoffs.failed_ms,
        "cancelled_ms": cutoffs.cancelled_ms,
    }
    staying, removable = _gate(connection, arguments)
    if not removable:
        return staying
    names = [f"{table}_{period.suffix}" for table in TABLES]
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    staying, removable = _gate(connection, arguments)
    if not removable:
        return staying
    if staying:
        connection.execute(text(f"CREATE TEMP TABLE survivors ON COMMIT DROP AS {_SURVIVORS}"), arguments)
        for table, name in zip(TABLES, names, strict=True):
            rows = f"SELECT * FROM {name} WHERE id IN (SELECT id FROM survivors)"
            connection.execute(text(f"CREATE TEMP TABLE kept_{table} ON COMMIT DROP AS {rows}"))
    connection.execute(text(f"TRUNCATE {', '.join(names)}"))
    if staying:
        for table, name in zip(TABLES, names, strict=True):
            connection.execute(text(f"INSERT INTO {name} SELECT * FROM kept_{table}"))
    stored_bytes.recount(connection, period)
    return staying


def _gate(connection: Connection, arguments: dict[str, object]) -> tuple[int, bool]:
    """Return the number of jobs of a period that stay, and True if there are others to delete."""
    rows, jobs, removable = connection.execute(_GATE, arguments | {"most": MAX_SURVIVORS}).one()
    return (int(rows), False) if rows > MAX_SURVIVORS else (int(jobs), bool(removable))


def delete_orphans(connection: Connection, period: Period) -> bool:
    """Delete a bounded number of rows of deleted jobs from tables without partitions. The caller commits.

    Return True if there may be more.
    """
    first, after = period.bounds
    arguments = {"first": first, "after": after, "most": MAX_ORPHANS}
    return any(
        connection.execute(text(_DELETE_ORPHANS.format(table)), arguments).rowcount == MAX_ORPHANS
        for table in _SIDE_TABLES
    )


def drop_empty(connection: Connection, period: Period) -> None:
    """Drop the partitions of a period if it has no job left, in the caller's transaction.

    Submissions wait for its lock, so it waits for that no longer than 100 ms. Then it raises OperationalError: retry
    later.
    """
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text("SELECT drop_partitions(:suffix)"), {"suffix": period.suffix})
