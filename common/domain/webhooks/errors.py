"""Errors about endpoints and deliveries of webhooks."""

from common.domain.errors import JobprocError


class EndpointNotFound(JobprocError):
    """No webhook endpoint of the tenant has this id."""


class EndpointChanged(JobprocError):
    """The endpoint has changed since the response whose ETag is in If-Match."""


class EndpointDisabled(JobprocError):
    """The endpoint is disabled; enable it first."""


class TooManyEndpoints(JobprocError):
    """The tenant has too many webhook endpoints."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"The tenant may have {limit} webhook endpoints; delete one that is not needed.")


class DeliveryNotFound(JobprocError):
    """No delivery of the tenant has this id, or its event was deleted."""


class WebhooksOff(JobprocError):
    """Webhooks are off: the operator has set no JOBPROC_WEBHOOK_ENCRYPTION_KEY."""
