"""Finished jobs go with their partition; few that must stay longer are copied aside and back. Where many must, common/store/retention/by_row.py."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from common.settings import Settings
from common.store.schema.partitions import DAY_MS, TABLES, Period, database_unix_ms, periods

MAX_SURVIVORS = 10_000  # copied aside and back under the lock: about 0.2 s; with more the others go one by one
MAX_ORPHANS = 10_000  # rows of other tables, in one transaction

# An outcome that keeps its job: it ended after the cut of its status.
KEEPS = "{0}.finished_at > to_timestamp(CASE {0}.status WHEN 'FAILED' THEN {failed} WHEN 'CANCELLED' THEN {cancelled} ELSE {success} END / 1000.0)"
# Jobs of a period that must stay: not finished, with a time of their own, or finished after the cut. A job may come twice.
_SURVIVORS = f"""
    SELECT id FROM live WHERE id >= :first AND id < :after
    UNION ALL
    SELECT id FROM expiries WHERE id >= :first AND id < :after
    UNION ALL
    SELECT id FROM outcomes o WHERE id >= :first AND id < :after AND {KEEPS.format("o", success=":success_ms", failed=":failed_ms", cancelled=":cancelled_ms")}
"""
# Only where few survive is it asked what may go: else that would read all of them.
_GATE = text(f"""
    WITH few AS MATERIALIZED (SELECT id FROM ({_SURVIVORS}) s LIMIT :most + 1)
    SELECT n.all_, n.jobs,
           CASE WHEN n.all_ <= :most THEN EXISTS (SELECT FROM jobs WHERE id >= :first AND id < :after AND id NOT IN (SELECT id FROM few)) END
    FROM (SELECT count(*) AS all_, count(DISTINCT id) AS jobs FROM few) n
""")
# Rows of tables without partitions, of jobs that are gone. Who adds such a row holds its job's.
_SIDE_TABLES = ("reruns", "deadlines")
_DELETE_ORPHANS = """
    DELETE FROM {0} WHERE ctid = ANY (ARRAY(
        SELECT r.ctid FROM {0} r WHERE r.id >= :first AND r.id < :after AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = r.id) LIMIT :most))
"""


@dataclass(frozen=True, slots=True)
class RetentionDays:
    """For how many days finished jobs are kept, by how they ended."""

    success: int
    failed: int
    cancelled: int

    @staticmethod
    def from_settings(settings: Settings) -> "RetentionDays":
        """Return what the operator says."""
        days = settings.retention_days
        return RetentionDays(days, settings.retention_failed_days or days, settings.retention_cancelled_days or days)

    def cutoffs(self, now_ms: int) -> "RetentionCutoffs":
        """Return what is past at a moment."""
        return RetentionCutoffs(*(now_ms - days * DAY_MS for days in (self.success, self.failed, self.cancelled)))


@dataclass(frozen=True, slots=True)
class RetentionCutoffs:
    """Times in Unix milliseconds: what ended so before them is past retention."""

    success_ms: int
    failed_ms: int
    cancelled_ms: int

    @property
    def latest_ms(self) -> int:
        """The end of what a look for jobs past retention has to look at."""
        return max(self.success_ms, self.failed_ms, self.cancelled_ms)


def removable_periods(connection: Connection, kept: RetentionDays) -> tuple[RetentionCutoffs, list[Period]]:
    """Return the cuts, and the periods that lie wholly before one of them."""
    cuts = kept.cutoffs(database_unix_ms(connection))
    return cuts, periods_before(connection, cuts.latest_ms)


def periods_before(connection: Connection, cut_ms: int) -> list[Period]:
    """Return the periods that end before a time in Unix milliseconds."""
    return [period for period in periods(connection) if period.end <= cut_ms]


def clear_partition(connection: Connection, period: Period, cutoffs: RetentionCutoffs) -> int:
    """Remove the finished jobs of a period in the caller's transaction; returns how many jobs stay in it, no further than MOST_SURVIVORS + 1.

    Gate without a lock, lock, the same gate again, then truncate: a job that is retried or submitted in between is kept.
    With more than MOST_SURVIVORS nothing is done. Raises OperationalError when the lock is not to be had within lock_timeout: later, then.
    """
    first, after = period.bounds
    of = {"first": first, "after": after, "success_ms": cutoffs.success_ms, "failed_ms": cutoffs.failed_ms, "cancelled_ms": cutoffs.cancelled_ms}
    staying, removable = _gate(connection, of)
    if not removable:
        return staying
    names = [f"{table}_{period.suffix}" for table in TABLES]
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    connection.execute(text(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    staying, removable = _gate(connection, of)
    if not removable:
        return staying
    if staying:
        connection.execute(text(f"CREATE TEMP TABLE survivors ON COMMIT DROP AS {_SURVIVORS}"), of)
        for table, name in zip(TABLES, names, strict=True):
            connection.execute(text(f"CREATE TEMP TABLE kept_{table} ON COMMIT DROP AS SELECT * FROM {name} WHERE id IN (SELECT id FROM survivors)"))
    connection.execute(text(f"TRUNCATE {', '.join(names)}"))
    if staying:
        for table, name in zip(TABLES, names, strict=True):
            connection.execute(text(f"INSERT INTO {name} SELECT * FROM kept_{table}"))
    return staying


def _gate(connection: Connection, of: dict[str, object]) -> tuple[int, bool]:
    """Return how many jobs of a period stay, and whether it can be cleared of others."""
    found, jobs, removable = connection.execute(_GATE, of | {"most": MAX_SURVIVORS}).one()
    return (int(found), False) if found > MAX_SURVIVORS else (int(jobs), bool(removable))


def delete_orphans(connection: Connection, period: Period) -> bool:
    """Delete rows of tables without partitions whose jobs went with theirs, a bounded number; returns whether there may be more. The caller commits."""
    first, after = period.bounds
    arguments = {"first": first, "after": after, "most": MAX_ORPHANS}
    return any(connection.execute(text(_DELETE_ORPHANS.format(table)), arguments).rowcount == MAX_ORPHANS for table in _SIDE_TABLES)


def drop_empty(connection: Connection, period: Period) -> None:
    """Drop the partitions of a period that has no job left, in the caller's transaction.

    Needs a lock that submissions wait for, so it gives up after a tenth of a second: OperationalError, later then.
    """
    connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
    names = [f"{table}_{period.suffix}" for table in TABLES]
    connection.execute(text(f"LOCK TABLE {', '.join(TABLES)}, {', '.join(names)} IN ACCESS EXCLUSIVE MODE"))
    if not connection.execute(text(f"SELECT EXISTS (SELECT FROM {names[0]})")).scalar_one():
        connection.execute(text(f"DROP TABLE {', '.join(names)}"))
