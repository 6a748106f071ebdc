"""Schedules as the tests of the store create and fire them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from integration.store.support.storage import Storage

from common.schedule_definitions.definition import ScheduleDefinition
from common.store.schedules import changes, firing
from common.store.schedules.changes import NewSchedule
from common.store.schedules.firing import FireBatch, FiringLimits
from common.store.schedules.records import StoredSchedule

LIMITS = FiringLimits(schedules=100, grace_s=60)


class Schedules:
    """The schedules of a database."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.connection = storage.connection()

    def create(self, **members: Any) -> StoredSchedule:
        """Store a schedule of the default tenant."""
        job = {"operation": "square_sum", "input": {"data": [1]}}
        if "every_seconds" in members:  # else counted from its creation, which is within a second
            members.setdefault("starts_at", datetime.now(UTC).replace(microsecond=0).isoformat())
        definition = ScheduleDefinition.model_validate({"name": f"s-{uuid4()}", "job": job, **members})
        new = NewSchedule(uuid4(), members.pop("tenant", 1), definition, "test")
        with self.storage.engine.begin() as connection:
            return changes.create(connection, new, 100_000)

    def set(self, schedule: StoredSchedule, **columns: object) -> None:
        """Change columns of a schedule."""
        names = ", ".join(f"{name} = %s" for name in columns)
        self.storage.rows(f"UPDATE schedules SET {names} WHERE id = %s", (*columns.values(), str(schedule.id)))

    def set_next(self, schedule: StoredSchedule, at: datetime) -> None:
        """Set the next instant."""
        self.set(schedule, next_at=at, due_at=at)

    def read(self, schedule: StoredSchedule) -> Mapping[str, Any]:
        """Return what the controller writes of a schedule."""
        names = ("next_at", "due_at", "pending_at", "last_at", "last_job")
        row = self.storage.rows(f"SELECT {', '.join(names)} FROM schedules WHERE id = %s", (str(schedule.id),))[0]
        return dict(zip(names, row, strict=True))

    def fire(self, now: datetime | None = None, limits: FiringLimits = LIMITS) -> FireBatch:
        """Fire what is due, once."""
        return firing.fire_due(self.connection, limits, now)

    def fires(self, schedule: StoredSchedule | UUID) -> list[tuple[Any, ...]]:
        """Return the instants of a schedule, with outcome and reason, in order."""
        schedule_id = schedule if isinstance(schedule, UUID) else schedule.id
        return self.storage.rows(
            "SELECT at, outcome, reason FROM schedule_fires WHERE schedule = %s ORDER BY at", (str(schedule_id),)
        )

    def end_jobs(self) -> None:
        """End every job."""
        self.storage.rows("DELETE FROM live")
