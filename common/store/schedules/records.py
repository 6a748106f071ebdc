"""A schedule as it is stored. Without a driver: the API, the controller and the migration read the same columns."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from common.domain.schedules.policies import CatchUp, CatchUpPolicy, Overlap
from common.domain.schedules.timing import Timing
from common.schedule_definitions.definition import ScheduleDefinition

#: Columns of a definition, without its name, its job and `paused`.
TIMING_COLUMNS = ("cron", "every_s", "at", "zone", "starts_at", "ends_at", "jitter_s")
POLICY_COLUMNS = ("overlap", "catch_up", "catch_up_within_s", "catch_up_max_runs")
DEFINITION_COLUMNS = ("name", *TIMING_COLUMNS, *POLICY_COLUMNS, "paused", "job")


@dataclass(frozen=True, slots=True)
class StoredSchedule:
    """The row of a schedule."""

    id: UUID
    tenant: int
    rev: int  #: its ETag
    created_at: datetime
    changed_at: datetime
    created_by: str | None
    managed: bool  #: a file declares it
    paused: bool
    name: str
    cron: str | None
    every_s: float | None
    at: datetime | None
    zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    jitter_s: float
    overlap: str
    catch_up: str
    catch_up_within_s: float
    catch_up_max_runs: int
    next_at: datetime | None
    due_at: datetime | None
    pending_at: datetime | None
    last_at: datetime | None
    last_job: UUID | None
    job: str  #: JSON text

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """Return the schedule of a row with COLUMNS."""
        values = {name: row[name] for name in NAMES}
        values["id"] = UUID(str(row["id"]))
        values["last_job"] = None if row["last_job"] is None else UUID(str(row["last_job"]))
        return cls(**values)

    @property
    def timing(self) -> Timing:
        """Its instants."""
        anchor = self.starts_at or self.created_at
        return Timing(anchor, *(getattr(self, name) for name in TIMING_COLUMNS))

    @property
    def overlap_policy(self) -> Overlap:
        """The overlap policy of its instants."""
        return Overlap(self.overlap)

    @property
    def catch_up_policy(self) -> CatchUp:
        """The policy for its late instants."""
        return CatchUp(CatchUpPolicy(self.catch_up), self.catch_up_within_s, self.catch_up_max_runs)

    @property
    def submission(self) -> dict[str, Any]:
        """The submission of each of its jobs."""
        submission: dict[str, Any] = json.loads(self.job)
        return submission

    @property
    def is_ended(self) -> bool:
        """True if it has no further instants."""
        return self.next_at is None and self.pending_at is None


NAMES = tuple(field.name for field in fields(StoredSchedule))
COLUMNS = ", ".join(f"{name}::text AS {name}" if name == "job" else name for name in NAMES)


def definition_values(definition: ScheduleDefinition) -> dict[str, Any]:
    """Return the values of DEFINITION_COLUMNS."""
    catch_up = definition.catch_up
    return {
        "name": definition.name,
        "cron": definition.cron,
        "every_s": definition.every_seconds,
        "at": definition.at,
        "zone": definition.time_zone,
        "starts_at": definition.starts_at,
        "ends_at": definition.ends_at,
        "jitter_s": definition.jitter_seconds,
        "overlap": str(definition.overlap),
        "catch_up": str(catch_up.policy),
        "catch_up_within_s": catch_up.within_seconds,
        "catch_up_max_runs": catch_up.max_runs,
        "paused": definition.paused,
        "job": definition.job.submission_json(),
    }
