"""Views of responses: schedules. Made by `make generate`."""

from __future__ import annotations

from typing import Any, Literal

from jobproc.client.views.view import View

CatchUpPolicy = Literal["none", "last", "all"]
FireOutcome = Literal["fired", "skipped", "missed", "refused"]
FireReason = Literal["unknown_operation", "queue_not_allowed", "tenant", "quota", "timing", "job", "requested"]
Overlap = Literal["allow", "skip", "queue", "cancel_old"]
ScheduleState = Literal["ACTIVE", "PAUSED", "ENDED"]


class CatchUpView(View):
    """The policy for instants to which the controller comes late."""

    policy: CatchUpPolicy
    within_seconds: float
    max_runs: int


class FireList(View):
    """A page of instants, newest first."""

    fires: list[FireView]
    next: str | None


class FireView(View):
    """The outcome of an instant of a schedule, or of several that were missed one after the other."""

    at: str
    through: str | None
    fired_at: str
    outcome: FireOutcome
    reason: FireReason | None
    job_id: str | None


class ScheduleLinks(View):
    """Links to a schedule and to the requests about it, as paths."""

    self: str
    pause: str
    resume: str
    run: str
    fires: str


class ScheduleList(View):
    """A page of schedules, by name."""

    schedules: list[ScheduleSummary]
    next: str | None


class ScheduleSummary(View):
    """A schedule."""

    id: str
    name: str
    state: ScheduleState
    managed: bool
    cron: str | None
    every_seconds: float | None
    at: str | None
    time_zone: str
    starts_at: str | None
    ends_at: str | None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUpView
    paused: bool
    job: ScheduledJob
    next_at: str | None
    pending_at: str | None
    last_job_id: str | None
    created_at: str
    created_by: str | None
    changed_at: str
    links: ScheduleLinks


class ScheduleView(View):
    """A schedule with its next and last instants."""

    id: str
    name: str
    state: ScheduleState
    managed: bool
    cron: str | None
    every_seconds: float | None
    at: str | None
    time_zone: str
    starts_at: str | None
    ends_at: str | None
    jitter_seconds: float
    overlap: Overlap
    catch_up: CatchUpView
    paused: bool
    job: ScheduledJob
    next_at: str | None
    pending_at: str | None
    last_job_id: str | None
    created_at: str
    created_by: str | None
    changed_at: str
    links: ScheduleLinks
    next_runs: list[str]
    last_fires: list[FireView]


class ScheduledBackoff(View):
    """The delays between failed attempts, as in a submission."""

    base_seconds: float
    cap_seconds: float


class ScheduledJob(View):
    """The job that each instant submits: a submission without times, which the schedule has."""

    operation: str
    input: Any
    data: list[int | float]
    queue: str | None
    priority: int
    timeout_seconds: float | None
    max_attempts: int | None
    backoff: ScheduledBackoff | None
    tags: list[str]
    metadata: dict[str, Any] | None
    unique: ScheduledUniqueKey | None
    concurrency_key: str | None
    keep_seconds: int | None
    webhook: ScheduledWebhook | None


class ScheduledUniqueKey(View):
    """A key that a job holds while it runs, so that jobs with the key run one after the other."""

    key: str


class ScheduledWebhook(View):
    """The endpoint that is told of the end of each job."""

    endpoint_id: str
