"""The definition of a schedule: its timing, its policies and its job. Descriptions are API documentation."""

import json
import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

from common.domain.schedules import cron
from common.domain.schedules.policies import CatchUp, CatchUpPolicy, Overlap
from common.domain.schedules.timing import Timing

NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
DAY_S = 86_400
MAX_EVERY_S = 366 * DAY_S
MAX_JITTER_S = DAY_S
MAX_CATCH_UP_S = 7 * DAY_S
MAX_RUNS = 1_000
TIMINGS = ("cron", "every_seconds", "at")  #: a schedule has one of them
_RFC_3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")
_YEARS = range(1970, 9_900)
_TEXT = r"^[^\x00]+$"  # PostgreSQL stores no U+0000
_KEY = r"^[\x21-\x7e]{1,200}$"
_ID = r"^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"


def _instant_text(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _RFC_3339.match(value)):
        return value
    raise ValueError("an RFC 3339 timestamp with an offset is expected")


def _utc(value: datetime) -> datetime:
    if value.year not in _YEARS:
        raise ValueError(f"a time between {_YEARS.start} and {_YEARS.stop - 1} is expected")
    return value.astimezone(UTC)


def _zone(name: str) -> str:
    cron.zone_of(name)
    return name


def _cron(text: str) -> str:
    cron.parse(text)
    return text


_NAME = "The name, unique in the tenant: up to 100 letters, digits, `.`, `_` and `-`."
Instant = Annotated[AwareDatetime, Strict(False), BeforeValidator(_instant_text), AfterValidator(_utc)]
ScheduleName = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$")]
_Text = Annotated[str, Field(pattern=_TEXT, min_length=1, max_length=64)]
_BackoffSeconds = Annotated[float, Field(ge=0, le=DAY_S, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ScheduledBackoff(_Model):
    """The delays between failed attempts, as in a submission."""

    base_seconds: _BackoffSeconds
    cap_seconds: _BackoffSeconds


class ScheduledUniqueKey(_Model):
    """A key that a job holds while it runs, so that jobs with the key run one after the other."""

    key: Annotated[str, Field(pattern=_KEY)] = Field(description="1 to 200 printable ASCII characters without spaces.")
    held_while: Literal["running"] = Field("running", alias="while")


class ScheduledWebhook(_Model):
    """The endpoint that is told of the end of each job."""

    endpoint_id: Annotated[str, Field(pattern=_ID)] = Field(
        description="The id of an endpoint; see GET /webhooks/endpoints."
    )


class ScheduledJob(_Model):
    """The job that each instant submits: a submission without times, which the schedule has.

    What it does not name is taken from the operation as it is at the instant.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"operation": "square_sum", "input": {"data": [1, 2, 3]}}]}
    )

    operation: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        description="The name of an operation; see GET /operations.", examples=["square_sum"]
    )
    input: Any = Field(default_factory=dict, description="The input of the operation. Default: `{}`.")
    data: list[int | float] = Field(
        default_factory=list, description="Instead of `input`, for operations on a list of numbers."
    )
    queue: Annotated[str, Field(min_length=1, max_length=63)] | None = Field(
        None, description="The queue, one of `queues` of the operation. Default: its `queue`."
    )
    priority: Annotated[int, Field(ge=0, le=9)] = Field(5, description="0 (first) to 9. Default: 5.")
    timeout_seconds: Annotated[float, Field(gt=0, le=2_147_483, allow_inf_nan=False)] | None = Field(
        None, description="The time limit of one attempt in seconds. Default: the operation's."
    )
    max_attempts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="The number of charged attempts after which the job ends FAILED. Default: the operation's."
    )
    backoff: ScheduledBackoff | None = None
    tags: Annotated[list[_Text], Field(max_length=20)] = Field([], description="Up to 20 labels.")
    metadata: dict[str, Any] | None = Field(None, description="Arbitrary data, returned with each job.")
    unique: ScheduledUniqueKey | None = None
    concurrency_key: Annotated[str, Field(pattern=_KEY)] | None = Field(
        None, description="Jobs of the queue with this key have the limits of the queue's policy."
    )
    keep_seconds: Annotated[int, Field(ge=1)] | None = Field(
        None, description="How long each job is kept after its end, in seconds. Default: the operator's retention."
    )
    webhook: ScheduledWebhook | None = Field(
        None,
        description="The endpoint that is told of the end of each job. Default: the default endpoint of the tenant as "
        "it is at the instant, if it has one. Null: none.",
    )

    def submission(self) -> dict[str, Any]:
        """Return the members that were given, as a submission has them."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def submission_json(self) -> str:
        """Return the submission as JSON text. Raises ValueError or TypeError for a value that JSON has not."""
        return json.dumps(self.submission(), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


class CatchUpBody(_Model):
    """The policy for instants to which the controller comes late, such as after an outage.

    Instants that are late by less than JOBPROC_SCHEDULE_GRACE_SECONDS get one always.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"policy": "last", "within_seconds": 3_600}]})

    policy: Annotated[CatchUpPolicy, Strict(False)] = Field(
        CatchUpPolicy.LAST, description="`none`; `last`, the default: the newest one; `all`: the newest `max_runs`."
    )
    within_seconds: Annotated[float, Field(gt=0, le=MAX_CATCH_UP_S, allow_inf_nan=False)] = Field(
        3_600.0, description="An instant that is later than this gets none. Default: an hour."
    )
    max_runs: Annotated[int, Field(ge=1, le=MAX_RUNS)] = Field(
        100, description="With `all`: the largest number of instants. Default: 100."
    )

    def catch_up(self) -> CatchUp:
        """Return the policy."""
        return CatchUp(self.policy, self.within_seconds, self.max_runs)


class _ScheduleMembers(_Model):
    cron: Annotated[str, AfterValidator(_cron)] | None = Field(
        None,
        description="A cron expression of five fields, or six with the second first; or a name such as `@daily`. Names "
        "of days and months, L, LW and # are known, W is not. The rules of Vixie's cron where the clocks change.",
        examples=["30 2 * * mon-fri"],
    )
    every_seconds: Annotated[float, Field(gt=0, le=MAX_EVERY_S, allow_inf_nan=False)] | None = Field(
        None,
        description="The interval in seconds, at least JOBPROC_SCHEDULE_MIN_INTERVAL_SECONDS. It is counted from "
        "`starts_at`, else from the creation.",
    )
    at: Instant | None = Field(None, description="The only instant, RFC 3339 with an offset.")
    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        "UTC", description="The IANA time zone of `cron`. Default: UTC.", examples=["Europe/Berlin"]
    )
    starts_at: Instant | None = Field(None, description="No instant is before it, RFC 3339 with an offset.")
    ends_at: Instant | None = Field(None, description="No instant is after it, RFC 3339 with an offset.")
    jitter_seconds: Annotated[float, Field(ge=0, le=MAX_JITTER_S, allow_inf_nan=False)] = Field(
        0.0, description="The largest delay of an instant in seconds. Each has its own, which stays. Default: 0."
    )
    overlap: Annotated[Overlap, Strict(False)] = Field(
        Overlap.ALLOW,
        description="What an instant does while the last job has not ended. `allow`, the default: it submits its job. "
        "`skip`: it submits none. `queue`: one instant waits until that job has ended, and others meanwhile submit "
        "none. `cancel_old`: it cancels that job, and submits its own.",
    )
    catch_up: CatchUpBody = Field(default_factory=CatchUpBody)
    paused: bool = Field(False, description="True: it does not fire. Default: false.")


class ScheduleDefinition(_ScheduleMembers):
    """A schedule: when it fires, its policies, and the job that each of its instants submits.

    It has either `cron`, `every_seconds` or `at`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "nightly-report",
                    "cron": "30 2 * * mon-fri",
                    "time_zone": "Europe/Berlin",
                    "overlap": "skip",
                    "job": {"operation": "square_sum", "input": {"data": [1, 2, 3]}, "tags": ["nightly"]},
                }
            ]
        }
    )

    name: ScheduleName = Field(description=_NAME, examples=["nightly-report"])
    job: ScheduledJob

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in TIMINGS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {', '.join(TIMINGS)} is expected")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at < self.starts_at:
            raise ValueError("ends_at is before starts_at")
        if self.every_seconds is not None and self.jitter_seconds > self.every_seconds:
            raise ValueError("jitter_seconds is more than every_seconds")
        if {"input", "data"} <= self.job.model_fields_set:
            raise ValueError("job.input cannot be combined with job.data")
        return self

    def timing(self, anchor: datetime) -> Timing:
        """Return when it fires. `anchor`: when it was created."""
        return Timing(
            self.starts_at or anchor,
            self.cron,
            self.every_seconds,
            self.at,
            self.time_zone,
            self.starts_at,
            self.ends_at,
            self.jitter_seconds,
        )


class ScheduleChange(_ScheduleMembers):
    """A change of a schedule. What it does not have stays as it is; a new timing replaces the old one."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cron": "0 3 * * *", "overlap": "queue"}]})

    name: ScheduleName | None = Field(None, description=_NAME, examples=["nightly-report"])
    job: ScheduledJob | None = Field(None, description="The job of each instant from now on, as a whole.")
