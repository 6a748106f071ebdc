"""Schedules: request bodies, validated, and responses."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.schemas import EXAMPLE_ID, SelfLink
from api.web.stored_text import StoredText
from api.web.timestamps import Timestamp
from common.domain.errors import InvalidSubmission
from common.domain.schedules.policies import CatchUpPolicy, FireOutcome, FireReason, Overlap
from common.schedule_definitions.definition import (
    NAME_PATTERN,
    TIMINGS,
    ScheduleChange,
    ScheduleDefinition,
    ScheduledJob,
)
from common.settings import Settings
from common.store.schedules.reads import ScheduleSearch
from common.store.schedules.records import StoredSchedule

PATH = "/schedules"
LAST_FIRES = 5  #: shown with a schedule
_TAG = re.compile(r'(?:W/)?"(\d{1,18})"')
_VERBS = ("pause", "resume", "run", "fires")


class ScheduleState(StrEnum):
    """The state of a schedule."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    ENDED = "ENDED"  #: no instant is left


class ScheduleLinks(SelfLink):
    """Links to a schedule and to the requests about it, as paths."""

    pause: str
    resume: str
    run: str
    fires: str


class CatchUpView(BaseModel):
    """The policy for instants to which the controller comes late."""

    policy: CatchUpPolicy
    within_seconds: float
    max_runs: int


class ScheduleSummary(BaseModel):
    """A schedule."""

    id: UUID = Field(examples=[EXAMPLE_ID])
    name: str = Field(examples=["nightly-report"])
    state: ScheduleState
    managed: bool = Field(description="True: a file declares it, and requests cannot change it.")
    cron: str | None = Field(description="Null: it has an interval or a single time.", examples=["30 2 * * mon-fri"])
    every_seconds: float | None = Field(description="Null: it has a cron expression or a single time.")
    at: datetime | None = Field(description="Null: it has a cron expression or an interval.")
    time_zone: str = Field(examples=["Europe/Berlin"])
    starts_at: datetime | None
    ends_at: datetime | None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUpView
    paused: bool
    job: ScheduledJob = Field(description="Without the scope jobs:payload it lacks `input` and `data`.")
    next_at: datetime | None = Field(description="The next instant, without its jitter. Null: there is none.")
    pending_at: datetime | None = Field(
        description="An instant that waits until the last job has ended. Null: none does."
    )
    last_job_id: UUID | None = Field(description="The last job that it has submitted. Null: none yet.")
    created_at: datetime
    created_by: str | None = Field(description="Who created it. Null: callers are not authenticated.")
    changed_at: datetime = Field(description="When a client or the file last changed it.")
    links: ScheduleLinks


class FireView(BaseModel):
    """The outcome of an instant of a schedule, or of several that were missed one after the other."""

    at: datetime = Field(description="The instant, without its jitter.")
    through: datetime | None = Field(description="Of several missed instants: the last one. Null: it is one.")
    fired_at: datetime = Field(description="When that was decided.")
    outcome: FireOutcome = Field(
        description="`fired`: its job was submitted. `skipped`: its overlap policy gave it none. `missed`: it was "
        "late, and its catch-up policy gave it none. `refused`: its job could not be submitted."
    )
    reason: FireReason | None = Field(description="Why it was refused; `requested`: somebody asked for a run.")
    job_id: UUID | None = Field(description="Its job. Null: it has none.")


class ScheduleView(ScheduleSummary):
    """A schedule with its next and last instants."""

    next_runs: list[datetime] = Field(description="The next five instants, without their jitter. Empty while paused.")
    last_fires: list[FireView] = Field(description="The last five instants, newest first.")


class ScheduleList(BaseModel):
    """A page of schedules, by name."""

    schedules: list[ScheduleSummary]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class FireList(BaseModel):
    """A page of instants, newest first."""

    fires: list[FireView]
    next: str | None = Field(description="The path of the next page. Null on the last page.")


class ScheduleListQuery(BaseModel):
    """The parameters of GET /schedules. A schedule matches if it satisfies all of them."""

    model_config = ConfigDict(extra="forbid")

    operation: Annotated[StoredText, Field(min_length=1, max_length=64)] | None = Field(
        None, description="The operation of its job.", examples=["square_sum"]
    )
    managed: bool | None = Field(None, description="True: a file declares it.", examples=[False])
    paused: bool | None = Field(None, description="True: it is paused.", examples=[False])
    ended: bool | None = Field(None, description="True: it has no further instants.", examples=[False])
    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of schedules on a page. Default: 50.", examples=[50]
    )
    after: Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")] | None = Field(
        None, description="The name of the last schedule of the previous page.", examples=["nightly-report"]
    )


class FireListQuery(BaseModel):
    """The parameters of GET /schedules/{schedule_id}/fires."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=200)] = Field(
        50, description="The number of instants on a page. Default: 50.", examples=[50]
    )
    before: Timestamp | None = Field(
        None,
        description="Instants before this one. RFC 3339 with an offset.",
        examples=["2026-01-01T00:00:00+00:00"],
    )


def check_limits(members: ScheduleDefinition | ScheduleChange, settings: Settings) -> None:
    """Raise InvalidSubmission, which names the field, for a member beyond the limits of the settings."""
    shortest_s = settings.schedule_min_interval_seconds
    if members.every_seconds is not None and members.every_seconds < shortest_s:
        raise InvalidSubmission("every_seconds", f"is less than {shortest_s:g} seconds")
    if members.job is not None:
        size = len(members.job.submission_json().encode())
        if size > settings.schedule_max_job_bytes:
            raise InvalidSubmission("job", f"is more than {settings.schedule_max_job_bytes} bytes as JSON")


def merged(schedule: StoredSchedule, change: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition of a schedule after a change, as a body has it."""
    body = _definition(schedule)
    if any(change.get(name) is not None for name in TIMINGS):
        body |= dict.fromkeys(TIMINGS)
    return {**body, **change}


def expected_revisions(if_match: str | None) -> frozenset[int] | None:
    """Return the revisions that the header If-Match names; None: any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(int(revision) for revision in _TAG.findall(if_match))


def etag(schedule: StoredSchedule) -> tuple[bytes, bytes]:
    """Return the header with the tag of a schedule. It is weak, because compression changes the bytes of a response."""
    return b"etag", b'W/"%d"' % schedule.rev


def to_search(query: ScheduleListQuery) -> ScheduleSearch:
    """Return the search of a query."""
    return ScheduleSearch(query.operation, query.managed, query.paused, query.ended)


def schedule_body(
    schedule: StoredSchedule, fires: Sequence[Mapping[str, Any]], root: str, *, with_payload: bool
) -> bytes:
    """Return the response body for a schedule: a ScheduleView. `with_payload`: the caller may see its input."""
    members = _summary(schedule, root, with_payload=with_payload)
    members["next_runs"] = [] if schedule.paused else schedule.timing.next_runs(schedule.next_at)
    members["last_fires"] = [_fire(fire) for fire in fires]
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


def list_body(query: ScheduleListQuery, schedules: Sequence[StoredSchedule], root: str, *, with_payload: bool) -> bytes:
    """Return the response body for a page of schedules: a ScheduleList."""
    next_path = None
    if len(schedules) == query.limit:
        next_path = _next(query, f"{root}{PATH}", after=schedules[-1].name)
    views = [_summary(schedule, root, with_payload=with_payload) for schedule in schedules]
    return orjson.dumps({"schedules": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def fires_body(query: FireListQuery, fires: Sequence[Mapping[str, Any]], schedule_id: UUID, root: str) -> bytes:
    """Return the response body for a page of instants: a FireList."""
    next_path = None
    if len(fires) == query.limit:
        next_path = _next(query, f"{root}{PATH}/{schedule_id}/fires", before=fires[-1]["at"].isoformat())
    views = [_fire(fire) for fire in fires]
    return orjson.dumps({"fires": views, "next": next_path}, option=orjson.OPT_UTC_Z)


def _next(query: BaseModel, path: str, **position: str) -> str:
    parameters = query.model_dump(mode="json", exclude_unset=True, exclude_none=True) | position
    pairs = {name: str(value).lower() if isinstance(value, bool) else value for name, value in parameters.items()}
    return f"{path}?{urlencode(pairs)}"


def _definition(schedule: StoredSchedule) -> dict[str, Any]:
    """Return the members of a definition, as a body has them."""
    instants = {"at": schedule.at, "starts_at": schedule.starts_at, "ends_at": schedule.ends_at}
    return {
        "name": schedule.name,
        "cron": schedule.cron,
        "every_seconds": schedule.every_s,
        **{name: None if at is None else at.isoformat() for name, at in instants.items()},
        "time_zone": schedule.zone,
        "jitter_seconds": schedule.jitter_s,
        "overlap": schedule.overlap,
        "catch_up": {
            "policy": schedule.catch_up,
            "within_seconds": schedule.catch_up_within_s,
            "max_runs": schedule.catch_up_max_runs,
        },
        "paused": schedule.paused,
        "job": schedule.submission,
    }


def _summary(schedule: StoredSchedule, root: str, *, with_payload: bool) -> dict[str, Any]:
    state = ScheduleState.ENDED if schedule.is_ended else ScheduleState.ACTIVE
    job = schedule.job
    if not with_payload:
        job = json.dumps({name: value for name, value in schedule.submission.items() if name not in ("input", "data")})
    path = f"{root}{PATH}/{schedule.id}"
    return {
        "id": str(schedule.id),
        "state": ScheduleState.PAUSED if schedule.paused else state,
        "managed": schedule.managed,
        **_definition(schedule),
        **{name: getattr(schedule, name) for name in ("at", "starts_at", "ends_at", "next_at", "pending_at")},
        "job": orjson.Fragment(job),
        "last_job_id": schedule.last_job and str(schedule.last_job),
        "created_at": schedule.created_at,
        "created_by": schedule.created_by,
        "changed_at": schedule.changed_at,
        "links": {"self": path, **{verb: f"{path}/{verb}" for verb in _VERBS}},
    }


def _fire(fire: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{name: fire[name] for name in ("at", "through", "fired_at", "outcome", "reason")},
        "job_id": fire["job"] and str(fire["job"]),
    }
