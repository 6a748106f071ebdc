"""The schedules that a file declares, applied by the migration: created, changed, and deleted when they are gone."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.errors import ScheduleExists, StartupError
from common.domain.job import new_job_id
from common.domain.tenancy.audit import AuditAction, AuditEntry
from common.schedule_definitions.definition import ScheduleDefinition
from common.schedule_definitions.file import DeclaredSchedules
from common.store.schedules import changes
from common.store.schedules.changes import NewSchedule
from common.store.schedules.records import COLUMNS, DEFINITION_COLUMNS, StoredSchedule, definition_values

SUBJECT = "file"  #: who creates and changes them
_TENANTS = text("SELECT name, id FROM tenants WHERE name = ANY (:names) AND state <> 'REMOVING'")
_MANAGED = text(f"SELECT {COLUMNS} FROM schedules WHERE managed ORDER BY tenant, name FOR UPDATE")
_NOW = text("SELECT clock_timestamp()")
_RECORD = text("""
    INSERT INTO audit_entries (id, tenant, subject, address, request_id, action, thing, details)
    VALUES (:id, :tenant, :subject, :address, :request_id, :action, :thing, '{}')
""")


@dataclass(slots=True)
class Applied:
    """The numbers of schedules that a run has changed."""

    created: int = 0
    changed: int = 0
    deleted: int = 0


def apply(connection: Connection, declared: DeclaredSchedules) -> Applied:
    """Make the managed schedules those of a file. Atomic, in the caller's transaction; safe to repeat.

    What has not changed keeps its next instant. Raises StartupError for an unknown tenant, and for the name of a
    schedule that the API has created.
    """
    applied = Applied()
    tenants = _tenants(connection, declared)
    wanted = {
        (tenants[tenant], name): definition
        for tenant, schedules in declared.by_tenant.items()
        for name, definition in schedules.items()
    }
    stored = [StoredSchedule.from_row(row) for row in connection.execute(_MANAGED).mappings()]
    now = connection.execute(_NOW).scalar_one()
    for schedule in stored:
        definition = wanted.pop((schedule.tenant, schedule.name), None)
        if definition is None:
            changes.remove(connection, schedule)
            _record(connection, now, AuditAction.SCHEDULE_DELETE, schedule.tenant, schedule.id)
            applied.deleted += 1
        elif not _is_equal(schedule, definition):
            changes.redefine(connection, schedule, definition, now)
            _record(connection, now, AuditAction.SCHEDULE_CHANGE, schedule.tenant, schedule.id)
            applied.changed += 1
    for (tenant, name), definition in wanted.items():
        new = NewSchedule(_new_id(now), tenant, definition, SUBJECT, managed=True)
        try:
            changes.create(connection, new, default_limit=0)
        except ScheduleExists:
            raise StartupError(
                f"the file of schedules declares {name}, which the API has created: delete that one, or rename one"
            ) from None
        _record(connection, now, AuditAction.SCHEDULE_CREATE, tenant, new.id)
        applied.created += 1
    return applied


def _tenants(connection: Connection, declared: DeclaredSchedules) -> dict[str, int]:
    found = {row.name: row.id for row in connection.execute(_TENANTS, {"names": list(declared.by_tenant)})}
    if missing := sorted(declared.by_tenant.keys() - found.keys()):
        raise StartupError(f"the file of schedules names tenants that do not exist: {', '.join(missing)}")
    return found


def _is_equal(schedule: StoredSchedule, definition: ScheduleDefinition) -> bool:
    values = definition_values(definition)
    return all(getattr(schedule, name) == values[name] for name in DEFINITION_COLUMNS)


def _record(connection: Connection, now: datetime, action: AuditAction, tenant: int, schedule_id: UUID) -> None:
    entry = AuditEntry(_new_id(now), tenant, SUBJECT, "", "", action, str(schedule_id))
    names = ("id", "tenant", "subject", "address", "request_id", "action", "thing")
    connection.execute(_RECORD, {name: getattr(entry, name) for name in names})


def _new_id(now: datetime) -> UUID:
    return new_job_id(int(now.timestamp() * 1000), secrets.randbits(74))
