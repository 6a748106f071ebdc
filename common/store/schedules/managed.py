"""The schedules that a file declares, applied by the migration: created, changed, and deleted when they are gone."""

from dataclasses import dataclass

from sqlalchemy import Connection, text

from common.domain.errors import ScheduleExists, StartupError
from common.domain.tenancy.audit import AuditAction
from common.schedule_definitions.definition import ScheduleDefinition
from common.schedule_definitions.file import DeclaredSchedules
from common.store.schedules import changes
from common.store.schedules.changes import NewSchedule
from common.store.schedules.records import COLUMNS, DEFINITION_COLUMNS, StoredSchedule, definition_values
from common.store.tenancy import declarations
from common.store.tenancy.declarations import SUBJECT

_MANAGED = text(f"SELECT {COLUMNS} FROM schedules WHERE managed ORDER BY tenant, name FOR UPDATE")


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
    tenants = declarations.tenants(connection, declared.by_tenant, "schedules")
    wanted = {
        (tenants[tenant], name): definition
        for tenant, schedules in declared.by_tenant.items()
        for name, definition in schedules.items()
    }
    stored = [StoredSchedule.from_row(row) for row in connection.execute(_MANAGED).mappings()]
    now = declarations.now(connection)
    for schedule in stored:
        definition = wanted.pop((schedule.tenant, schedule.name), None)
        if definition is None:
            changes.remove(connection, schedule)
            declarations.record(connection, now, AuditAction.SCHEDULE_DELETE, schedule.tenant, str(schedule.id))
            applied.deleted += 1
        elif not _is_equal(schedule, definition):
            changes.redefine(connection, schedule, definition, now)
            declarations.record(connection, now, AuditAction.SCHEDULE_CHANGE, schedule.tenant, str(schedule.id))
            applied.changed += 1
    for (tenant, name), definition in wanted.items():
        new = NewSchedule(declarations.new_id(now), tenant, definition, SUBJECT, managed=True)
        try:
            changes.create(connection, new, default_limit=0)
        except ScheduleExists:
            raise StartupError(
                f"the file of schedules declares {name}, which the API has created: delete that one, or rename one"
            ) from None
        declarations.record(connection, now, AuditAction.SCHEDULE_CREATE, tenant, str(new.id))
        applied.created += 1
    return applied


def _is_equal(schedule: StoredSchedule, definition: ScheduleDefinition) -> bool:
    values = definition_values(definition)
    return all(getattr(schedule, name) == values[name] for name in DEFINITION_COLUMNS)
