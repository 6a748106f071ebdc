"""Reads of schedules and their fires, for clients. In a transaction that is the tenant's."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.errors import ScheduleNotFound
from common.store.schedules.records import COLUMNS, StoredSchedule

_READ = text(f"SELECT {COLUMNS} FROM schedules WHERE tenant = :tenant AND id = :id")
# Reads the schedules of the tenant at most, whose number is limited.
_PAGE = """
    SELECT {columns} FROM schedules
    WHERE tenant = :tenant AND name > :after {filters}
    ORDER BY name LIMIT :limit
"""
_FILTERS = {
    "operation": "AND job ->> 'operation' = :operation",
    "managed": "AND managed = :managed",
    "paused": "AND paused = :paused",
    "ended": "AND (next_at IS NULL AND pending_at IS NULL) = :ended",
}
_FIRES = """
    SELECT at, through, fired_at, outcome, reason, job FROM schedule_fires
    WHERE schedule = :schedule AND tenant = :tenant {before} ORDER BY at DESC LIMIT :limit
"""
_BEFORE = "AND at < :before"


@dataclass(frozen=True, slots=True)
class ScheduleSearch:
    """The schedules that a page has. None: all."""

    operation: str | None = None
    managed: bool | None = None
    paused: bool | None = None
    ended: bool | None = None


def read(connection: Connection, tenant: int, schedule_id: UUID) -> StoredSchedule:
    """Return a schedule of a tenant. Raises ScheduleNotFound."""
    row = connection.execute(_READ, {"tenant": tenant, "id": schedule_id}).mappings().one_or_none()
    if row is None:
        raise ScheduleNotFound
    return StoredSchedule.from_row(row)


def page(
    connection: Connection, tenant: int, search: ScheduleSearch, after: str | None, limit: int
) -> list[StoredSchedule]:
    """Return up to `limit` schedules of a tenant by name, after a name (None: from the first on)."""
    wanted = {name: value for name in _FILTERS if (value := getattr(search, name)) is not None}
    statement = text(_PAGE.format(columns=COLUMNS, filters=" ".join(_FILTERS[name] for name in wanted)))
    rows = connection.execute(statement, {"tenant": tenant, "after": after or "", "limit": limit, **wanted})
    return [StoredSchedule.from_row(row) for row in rows.mappings()]


def fires(
    connection: Connection, tenant: int, schedule_id: UUID, before: datetime | None, limit: int
) -> list[dict[str, Any]]:
    """Return up to `limit` fires of a schedule, newest instant first, before an instant (None: from the newest on)."""
    statement = text(_FIRES.format(before="" if before is None else _BEFORE))
    values = {"schedule": schedule_id, "tenant": tenant, "limit": limit}
    rows = connection.execute(statement, values if before is None else {**values, "before": before})
    return [dict(row) for row in rows.mappings()]
