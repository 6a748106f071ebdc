"""The schedules of a run, of a tenant of their own: created before the clients start, paused when they have stopped."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rig.system import Database
from rig.tenants import new_tenant

EVERY_S = (0.5, 1.0, 2.0)  # the tick is shorter, and longer, than these
OVERLAPS = ("allow", "skip", "queue", "cancel_old")
#: Beside the jobs of clients: what has been submitted by a schedule.
BY_SCHEDULE = "submitted_by LIKE 'schedule:%%'"
_CREATE = """
INSERT INTO schedules (id, tenant, name, created_at, every_s, zone, starts_at, overlap, catch_up, catch_up_within_s,
    catch_up_max_runs, jitter_s, next_at, due_at, job)
SELECT gen_random_uuid(), %(tenant)s, %(name)s, at, %(every_s)s, 'UTC', at, %(overlap)s, 'all', 3600, 1000, 0, at, at,
       %(job)s
FROM (SELECT date_trunc('second', clock_timestamp()) + interval '2 s' AS at) AS start
"""
_FIRES = """
SELECT f.at, f.through, f.job IS NOT NULL, EXISTS (SELECT FROM jobs j WHERE j.id = f.job AND j.submitted_by = %s)
FROM schedule_fires f WHERE f.schedule = %s ORDER BY f.at
"""


@dataclass(frozen=True, slots=True)
class PastFire:
    """The row of an instant, or of several that were missed."""

    at: datetime
    through: datetime | None
    has_job: bool  #: by the row
    is_job_stored: bool


@dataclass(frozen=True, slots=True)
class PastSchedule:
    """A schedule at the end of a run."""

    name: str
    every_s: float
    starts_at: datetime
    next_at: datetime
    pending_at: datetime | None
    fires: Sequence[PastFire]
    jobs: int  #: that it has submitted

    def instants(self) -> list[datetime]:
        """Return the instants that it has had."""
        every = timedelta(seconds=self.every_s)
        return [self.starts_at + number * every for number in range(round((self.next_at - self.starts_at) / every))]

    def decided(self) -> list[datetime]:
        """Return the instants of its rows, in order, and the one that waits."""
        every = timedelta(seconds=self.every_s)
        found = [] if self.pending_at is None else [self.pending_at]
        for fire in self.fires:
            number = 0 if fire.through is None else round((fire.through - fire.at) / every)
            found += [fire.at + index * every for index in range(number + 1)]
        return sorted(found)


def create(database: Database) -> None:
    """Store schedules of a tenant that has nothing else."""
    tenant = new_tenant(database, "scheduled")
    job = json.dumps({"operation": "noop", "data": [1.0]})
    for number, overlap in enumerate(OVERLAPS * len(EVERY_S)):
        every_s = EVERY_S[number % len(EVERY_S)]
        name = f"{overlap}-{every_s:g}"
        database.rows(_CREATE, {"tenant": tenant, "name": name, "every_s": every_s, "overlap": overlap, "job": job})


def pause(database: Database) -> None:
    """Let no schedule fire any more."""
    database.rows("UPDATE schedules SET paused = true")


def past_schedules(database: Database) -> list[PastSchedule]:
    """Return the schedules of the run with their fires."""
    found = []
    for schedule_id, name, every_s, starts_at, next_at, pending_at in database.rows(
        "SELECT id::text, name, every_s, starts_at, next_at, pending_at FROM schedules ORDER BY name"
    ):
        submitted_by = f"schedule:{schedule_id}"
        fires = [PastFire(*row) for row in database.rows(_FIRES, (submitted_by, schedule_id))]
        jobs = database.value("SELECT count(*) FROM jobs WHERE submitted_by = %s", (submitted_by,))
        found.append(PastSchedule(name, every_s, starts_at, next_at, pending_at, fires, jobs))
    return found
