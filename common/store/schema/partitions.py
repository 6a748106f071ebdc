"""Partitions by time, which is the first part of a UUIDv7: of jobs and what belongs to them, and of the audit log."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.job import first_job_id, job_unix_ms
from common.store.schema.version import wait_for_exclusive

TABLES = ("jobs", "outcomes", "attempts", "tags", "job_logs")
AUDIT = "audit_entries"
AUDIT_DAYS, AUDIT_AHEAD = 30, 2  #: days in a partition of the audit log, and partitions that are created ahead
DAY_MS = 86_400_000

_BOUNDS = text("""
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST(:parent AS regclass)
""")
# Functions, because only the owner of a table may create or drop its partitions, and the controller is not.
_CREATE = text("SELECT create_partition(:parent, :suffix, :first, :after)")
_NOW_MS = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """The span of job ids of one partition, by their time in Unix milliseconds: from `start`, before `end`."""

    start: int
    end: int

    @property
    def suffix(self) -> str:
        """The suffix of its partitions' names: the UTC date of `start`."""
        return datetime.fromtimestamp(self.start / 1000, UTC).strftime("%Y%m%d")

    @property
    def bounds(self) -> tuple[UUID, UUID]:
        """The first id of the period, and the first id after it."""
        return first_job_id(self.start), first_job_id(self.end)


def periods(connection: Connection, table: str = "jobs") -> list[Period]:
    """Return the periods for which the table has a partition, first to last."""
    existing = []
    for _, bound in connection.execute(_BOUNDS, {"parent": table}):
        start, end = re.findall(r"'([0-9a-f-]{36})'", bound)
        existing.append(Period(job_unix_ms(UUID(start)), job_unix_ms(UUID(end))))
    return sorted(existing)


def database_unix_ms(connection: Connection) -> int:
    """Return the database's clock in Unix milliseconds."""
    return int(connection.execute(_NOW_MS).scalar_one())


def missing_periods(existing: list[Period], now_ms: int, days: int, ahead: int) -> list[Period]:
    """Return the periods to create: from yesterday's (a clock may be behind) to `ahead` periods after today's.

    They are aligned to whole multiples of `days` since 1970. Existing periods, also of another size, are left out or
    cut off.
    """
    size = days * DAY_MS
    missing = []
    for n in range((now_ms - DAY_MS) // size, now_ms // size + ahead + 1):
        start, end = n * size, (n + 1) * size
        for period in sorted(p for p in existing if p.end > start and p.start < end):
            if start < period.start:
                missing.append(Period(start, period.start))
            start = max(start, period.end)
        if start < end:
            missing.append(Period(start, end))
    return missing


def create_missing(connection: Connection, days: int, ahead: int) -> list[Period]:
    """Create the partitions that will be needed, and return the periods that were missing. The caller commits.

    Each partition is created as a table and then attached: submissions and readers wait for none of the locks.
    """
    wait_for_exclusive(connection, "partitions")
    now_ms = database_unix_ms(connection)
    created: set[Period] = set()
    for table, size, more in (*((table, days, ahead) for table in TABLES), (AUDIT, AUDIT_DAYS, AUDIT_AHEAD)):
        for period in missing_periods(periods(connection, table), now_ms, size, more):
            first, after = period.bounds
            connection.execute(_CREATE, {"parent": table, "suffix": period.suffix, "first": first, "after": after})
            created.add(period)
    return sorted(created)
