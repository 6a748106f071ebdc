"""Changes of schedules, by clients and by the migration. Each is part of the caller's transaction, safe to repeat.

All but `run_now` run with either driver, so that the file of schedules is applied by the same statements.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text

from common.domain.errors import (
    InvalidSubmission,
    ScheduleChanged,
    ScheduleExists,
    ScheduleManaged,
    ScheduleNotFound,
    TooManySchedules,
)
from common.domain.job import NewJob
from common.domain.schedules.policies import FireOutcome, FireReason
from common.domain.schedules.timing import Timing
from common.schedule_definitions.definition import ScheduleDefinition
from common.store.jobs.fragments import INSERT_WITH_OPTIONS, INSERT_WITH_RUNNING_KEYS
from common.store.jobs.insert import json_literal, may_be_parked
from common.store.schedules.records import (
    COLUMNS,
    DEFINITION_COLUMNS,
    TIMING_COLUMNS,
    StoredSchedule,
    definition_values,
)

_NAMES = ", ".join(DEFINITION_COLUMNS)
_VALUES = ", ".join(f"CAST(:{name} AS json)" if name == "job" else f":{name}" for name in DEFINITION_COLUMNS)
# Two requests at once may pass the limit by one.
_ROOM = text("""
    SELECT clock_timestamp(), (SELECT count(*) FROM schedules WHERE tenant = :tenant AND NOT managed),
           (SELECT max_schedules FROM tenants WHERE id = :tenant)
""")
_INSERT = text(f"""
    INSERT INTO schedules (id, tenant, created_at, created_by, managed, next_at, due_at, {_NAMES})
    VALUES (:id, :tenant, :created_at, :created_by, :managed, :next_at, :due_at, {_VALUES})
    ON CONFLICT (tenant, name) DO NOTHING RETURNING {COLUMNS}
""")
_BY_NAME = text(f"SELECT {COLUMNS} FROM schedules WHERE tenant = :tenant AND name = :name")
_LOCK = text(
    f"SELECT {COLUMNS}, clock_timestamp() AS now FROM schedules WHERE tenant = :tenant AND id = :id FOR UPDATE"
)
_NAME_IS_TAKEN = text("SELECT true FROM schedules WHERE tenant = :tenant AND name = :name AND id <> :id")
_UPDATE = text(f"""
    UPDATE schedules
    SET ({_NAMES}) = ({_VALUES}), next_at = :next_at, due_at = :due_at, rev = rev + 1,
        changed_at = clock_timestamp()
    WHERE tenant = :tenant AND id = :id RETURNING {COLUMNS}
""")
_SET_PAUSED = text(f"""
    UPDATE schedules
    SET paused = :paused, next_at = :next_at, due_at = :due_at, rev = rev + 1, changed_at = clock_timestamp()
    WHERE tenant = :tenant AND id = :id RETURNING {COLUMNS}
""")
_DELETE = text("DELETE FROM schedules WHERE tenant = :tenant AND id = :id")
_INSERT_FIRE = text("""
    INSERT INTO schedule_fires (schedule, at, tenant, job, outcome, reason)
    VALUES (:schedule, :at, :tenant, :job, :outcome, :reason) ON CONFLICT (schedule, at) DO NOTHING
""")
_SET_LAST_JOB = text("UPDATE schedules SET last_job = :job WHERE tenant = :tenant AND id = :id")


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule that is to be stored."""

    id: UUID
    tenant: int
    definition: ScheduleDefinition
    created_by: str | None
    managed: bool = False  #: a file declares it


def create(connection: Connection, new: NewSchedule, default_limit: int) -> StoredSchedule:
    """Store a schedule. `default_limit`: schedules of a tenant without a quota of its own; 0: no limit.

    Raises ScheduleExists, TooManySchedules, or InvalidSubmission if it has no instant ahead. A managed one may have
    none, and does not count.
    """
    definition = new.definition
    now, number, own_limit = connection.execute(_ROOM, {"tenant": new.tenant}).one()
    first = _first_after(definition.timing(now), now, definition, is_checked=not new.managed)
    limit = (default_limit or None) if own_limit is None else own_limit
    existing = connection.execute(_BY_NAME, {"tenant": new.tenant, "name": definition.name}).mappings().one_or_none()
    if existing is None and limit is not None and number >= limit and not new.managed:
        raise TooManySchedules(limit)
    values = {
        **definition_values(definition),
        "id": new.id,
        "tenant": new.tenant,
        "created_at": now,
        "created_by": new.created_by,
        "managed": new.managed,
        "next_at": first,
        "due_at": None if first is None else definition.timing(now).due_at(new.id, first),
    }
    row = existing or connection.execute(_INSERT, values).mappings().one_or_none()
    if row is None or UUID(str(row["id"])) != new.id:  # its own: a repeat after a lost answer
        raise ScheduleExists
    return StoredSchedule.from_row(row)


def change(
    connection: Connection,
    tenant: int,
    schedule_id: UUID,
    change_definition: Callable[[StoredSchedule], ScheduleDefinition],
    revisions: frozenset[int] | None = None,
) -> StoredSchedule:
    """Change the definition of a schedule. `revisions`: those that the request expects; None: any.

    If its timing changes, or it is resumed, the next instant is the first one from now on. Raises ScheduleNotFound,
    ScheduleManaged, ScheduleChanged, ScheduleExists, or InvalidSubmission if it has no instant ahead.
    """
    before, now = _lock_changeable(connection, tenant, schedule_id, revisions)
    return redefine(connection, before, change_definition(before), now)


def redefine(
    connection: Connection, before: StoredSchedule, definition: ScheduleDefinition, now: datetime
) -> StoredSchedule:
    """Give a locked schedule another definition. Raises ScheduleExists or InvalidSubmission."""
    values = definition_values(definition)
    key = {"tenant": before.tenant, "id": before.id}
    if connection.execute(_NAME_IS_TAKEN, {**key, "name": definition.name}).one_or_none():
        raise ScheduleExists
    timing = definition.timing(before.created_at)
    has_new_timing = any(values[name] != getattr(before, name) for name in TIMING_COLUMNS)
    times = {"next_at": before.next_at, "due_at": before.due_at}
    if has_new_timing or (before.paused and not definition.paused):
        first = _first_after(timing, _base(before, now), definition, is_checked=has_new_timing and not before.managed)
        times = _times(before, timing, first, now)
    row = connection.execute(_UPDATE, {**values, **times, **key}).mappings().one()
    return StoredSchedule.from_row(row)


def set_paused(connection: Connection, tenant: int, schedule_id: UUID, *, paused: bool) -> tuple[StoredSchedule, bool]:
    """Pause or resume a schedule; return it, and True if that changed it. Instants of a pause are neither fired nor
    missed. Raises ScheduleNotFound or ScheduleManaged.
    """
    before, now = _lock_changeable(connection, tenant, schedule_id)
    if before.paused == paused:
        return before, False
    times = {"next_at": before.next_at, "due_at": before.due_at}
    if not paused:
        times = _times(before, before.timing, before.timing.first_after(_base(before, now)), now)
    row = connection.execute(_SET_PAUSED, {"paused": paused, **times, "tenant": tenant, "id": schedule_id})
    return StoredSchedule.from_row(row.mappings().one()), True


def delete(
    connection: Connection, tenant: int, schedule_id: UUID, revisions: frozenset[int] | None = None
) -> StoredSchedule:
    """Delete a schedule; return it as it was. Its jobs stay, and its fires until their retention.

    Raises ScheduleNotFound, ScheduleManaged or ScheduleChanged.
    """
    before, _ = _lock_changeable(connection, tenant, schedule_id, revisions)
    remove(connection, before)
    return before


def remove(connection: Connection, schedule: StoredSchedule) -> None:
    """Delete a locked schedule."""
    connection.execute(_DELETE, {"tenant": schedule.tenant, "id": schedule.id})


def run_now(connection: Connection, tenant: int, schedule_id: UUID, at: datetime, job: NewJob) -> None:
    """Submit a job of a schedule now, whatever its policies. It is its last job from then on.

    `at`: the time of the request, the instant of its fire. Raises ScheduleNotFound.
    """
    _lock(connection, tenant, schedule_id)
    fire = {
        "schedule": schedule_id,
        "at": at,
        "tenant": tenant,
        "job": job.id,
        "outcome": str(FireOutcome.FIRED),
        "reason": str(FireReason.REQUESTED),
    }
    connection.execute(_INSERT_FIRE, fire)
    insert = INSERT_WITH_RUNNING_KEYS if may_be_parked([job]) else INSERT_WITH_OPTIONS
    connection.exec_driver_sql(insert.format(jobs="$1::json", tenants="$2"), (json_literal([job]), [tenant]))
    connection.execute(_SET_LAST_JOB, {"job": job.id, "tenant": tenant, "id": schedule_id})


def _lock_changeable(
    connection: Connection, tenant: int, schedule_id: UUID, revisions: frozenset[int] | None = None
) -> tuple[StoredSchedule, datetime]:
    """Lock a schedule that clients may change, as `_lock` does. Raises ScheduleManaged if a file declares it."""
    schedule, now = _lock(connection, tenant, schedule_id, revisions)
    if schedule.managed:
        raise ScheduleManaged
    return schedule, now


def _lock(
    connection: Connection, tenant: int, schedule_id: UUID, revisions: frozenset[int] | None = None
) -> tuple[StoredSchedule, datetime]:
    """Lock a schedule; return it with the database's time."""
    row = connection.execute(_LOCK, {"tenant": tenant, "id": schedule_id}).mappings().one_or_none()
    if row is None:
        raise ScheduleNotFound
    schedule = StoredSchedule.from_row(row)
    if revisions is not None and schedule.rev not in revisions:
        raise ScheduleChanged
    return schedule, row["now"]


def _base(schedule: StoredSchedule, now: datetime) -> datetime:
    """Return after which instant the next one is: the clock may have been set back since the last one."""
    return now if schedule.last_at is None else max(now, schedule.last_at)


def _first_after(
    timing: Timing, instant: datetime, definition: ScheduleDefinition, *, is_checked: bool
) -> datetime | None:
    first = timing.first_after(instant)
    if first is None and is_checked:
        field = "at" if definition.at is not None else "ends_at" if definition.ends_at is not None else "cron"
        raise InvalidSubmission(field, "the schedule has no instant from now on")
    return first


def _times(
    schedule: StoredSchedule, timing: Timing, first: datetime | None, now: datetime
) -> dict[str, datetime | None]:
    due_at = None if first is None else timing.due_at(schedule.id, first)
    if schedule.pending_at is not None:
        due_at = now if due_at is None else min(now, due_at)
    return {"next_at": first, "due_at": due_at}
