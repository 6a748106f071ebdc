"""Views of responses: webhooks. Made by `make generate`."""

from __future__ import annotations

from typing import Any, Literal

from jobproc.client.views.shared import ErrorView, State
from jobproc.client.views.view import View

DisabledReason = Literal["requested", "gone", "failing"]
EndpointState = Literal["ACTIVE", "FAILING", "DISABLED"]
EventType = Literal["job.succeeded", "job.failed", "job.cancelled", "batch.ended", "workflow.ended", "webhook.test"]


class DeliveryLinks(View):
    """Links to the job of a delivery and to the requests about it, as paths."""

    self: str
    redeliver: str
    subject: str | None


class DeliveryList(View):
    """A page of deliveries, those of the newest jobs and batches first."""

    deliveries: list[DeliveryView]
    next: str | None


class DeliveryView(View):
    """A delivery of an event."""

    job_id: str
    type: EventType | None
    happened_at: str | None
    data: dict[str, Any] | None
    status: State
    created_at: str
    due_at: str | None
    finished_at: str | None
    attempt: int
    max_attempts: int
    error: ErrorView | None
    links: DeliveryLinks


class EndpointLinks(View):
    """Links to an endpoint and to the requests about it, as paths."""

    self: str
    deliveries: str
    rotate: str
    test: str


class EndpointList(View):
    """A page of endpoints, by id."""

    endpoints: list[EndpointSummary]
    next: str | None


class EndpointSummary(View):
    """An endpoint of webhooks."""

    id: str
    url: str
    description: str
    events: list[EventType] | None
    default: bool
    include_result: bool
    max_attempts: int
    state: EndpointState
    disabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: str | None
    failures: int
    failing_since: str | None
    open_until: str | None
    last_success_at: str | None
    last_failure_at: str | None
    last_failure: str | None
    created_at: str
    created_by: str | None
    changed_at: str
    links: EndpointLinks


class EndpointView(View):
    """An endpoint with its secrets, of which only the times are shown."""

    id: str
    url: str
    description: str
    events: list[EventType] | None
    default: bool
    include_result: bool
    max_attempts: int
    state: EndpointState
    disabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: str | None
    failures: int
    failing_since: str | None
    open_until: str | None
    last_success_at: str | None
    last_failure_at: str | None
    last_failure: str | None
    created_at: str
    created_by: str | None
    changed_at: str
    links: EndpointLinks
    secrets: list[SecretView]


class NewSecretView(View):
    """An endpoint with a new secret, which is shown once."""

    id: str
    url: str
    description: str
    events: list[EventType] | None
    default: bool
    include_result: bool
    max_attempts: int
    state: EndpointState
    disabled: bool
    disabled_reason: DisabledReason | None
    disabled_at: str | None
    failures: int
    failing_since: str | None
    open_until: str | None
    last_success_at: str | None
    last_failure_at: str | None
    last_failure: str | None
    created_at: str
    created_by: str | None
    changed_at: str
    links: EndpointLinks
    secrets: list[SecretView]
    secret: str


class SecretView(View):
    """A secret with which messages are signed, without the secret."""

    created_at: str
    expires_at: str | None
