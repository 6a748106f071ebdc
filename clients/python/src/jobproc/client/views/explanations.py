"""Views of responses: explanations. Made by `make generate`."""

from __future__ import annotations

from typing import Literal

from jobproc.client.views.shared import State
from jobproc.client.views.view import View

ReasonCode = Literal[
    "ended",
    "running",
    "cancel_requested",
    "waits_for_parents",
    "not_due",
    "queue_not_served",
    "operation_not_known",
    "key_in_use",
    "tenant_suspended",
    "queue_paused",
    "queue_concurrency",
    "queue_rate",
    "key_limit",
    "running_quota",
    "jobs_ahead",
    "other_tenants",
    "next",
]


class BlockReason(View):
    """A reason why the job is in its state."""

    code: ReasonCode
    text: str
    until: str | None


class ExpectedStart(View):
    """The range of time in which the job will probably start."""

    earliest: str
    latest: str


class Explanation(View):
    """The reasons why a job is in its state."""

    job_id: str
    status: State
    reasons: list[BlockReason]
    position: QueuePosition | None
    expected_start: ExpectedStart | None
    waited: WaitedView


class JobLogView(View):
    """A page of the lines that the attempts of a run of a job have logged, in their order."""

    job_id: str
    run: int
    lines: list[LogLineView]
    next: str | None


class LogLineView(View):
    """A line that an operation has logged or printed."""

    attempt: int
    line: int
    at: str
    level: Literal["debug", "info", "warning", "error", "critical"]
    logger: str
    message: str
    exception: str | None


class QueuePosition(View):
    """The position of the job among its tenant's jobs in its queue."""

    ahead: int
    exact: bool


class WaitedView(View):
    """The time that the job has spent, by cause, over all attempts."""

    scheduled_seconds: float
    queued_seconds: float
    paused_seconds: float
    running_seconds: float
