"""Partitions of jobs, outcomes, attempts and tags: by time, through the time in a UUIDv7."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.job import first_job_id, job_unix_ms
from common.store.schema.version import wait_for_exclusive

TABLES = ("jobs", "outcomes", "attempts", "tags")
DAY_MS = 86_400_000

_BOUNDS = text("""
    SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST(:parent AS regclass)
""")
_NOW_MS = text("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)")


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A span of job ids, by their time in Unix milliseconds: from start, before end."""

    start: int
    end: int

    @property
    def suffix(self) -> str:
        """The end of the names of its partitions."""
        return datetime.fromtimestamp(self.start / 1000, UTC).strftime("%Y%m%d")

    @property
    def bounds(self) -> tuple[UUID, UUID]:
        """The first id, and the first one after it."""
        return first_job_id(self.start), first_job_id(self.end)


def periods(connection: Connection, table: str = "jobs") -> list[Period]:
    """Return the periods that have a partition, first to last."""
    found = []
    for _, bound in connection.execute(_BOUNDS, {"parent": table}):
        start, end = re.findall(r"'([0-9a-f-]{36})'", bound)
        found.append(Period(job_unix_ms(UUID(start)), job_unix_ms(UUID(end))))
    return sorted(found)


def database_unix_ms(connection: Connection) -> int:
    """Return the database's clock in Unix milliseconds."""
    return int(connection.execute(_NOW_MS).scalar_one())


def missing_periods(existing: list[Period], now_ms: int, days: int, ahead: int) -> list[Period]:
    """Return the periods to make: from yesterday's (a clock may be behind) to `ahead` periods after today's.

    Aligned to whole multiples of `days` since 1970. What other sizes of the past cover already is left out or cut.
    """
    size = days * DAY_MS
    made = []
    for n in range((now_ms - DAY_MS) // size, now_ms // size + ahead + 1):
        start, end = n * size, (n + 1) * size
        for there in sorted(p for p in existing if p.end > start and p.start < end):
            if start < there.start:
                made.append(Period(start, there.start))
            start = max(start, there.end)
        if start < end:
            made.append(Period(start, end))
    return made


def create_missing(connection: Connection, days: int, ahead: int) -> list[Period]:
    """Make the partitions that will be needed; returns the periods that were missing. The caller commits.

    A new table is attached instead of created in place: that takes no lock that submissions or readers would wait for.
    """
    wait_for_exclusive(connection, "partitions")
    now_ms = database_unix_ms(connection)
    fresh: set[Period] = set()
    for table in TABLES:
        for period in missing_periods(periods(connection, table), now_ms, days, ahead):
            name = f"{table}_{period.suffix}"
            first, after = period.bounds
            connection.execute(text(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)"))
            connection.execute(text(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ('{first}') TO ('{after}')"))
            fresh.add(period)
    return sorted(fresh)
