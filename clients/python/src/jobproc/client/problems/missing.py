"""Errors by the types of problems. Made by `make generate`."""

from jobproc.client.errors import Missing


class NotFound(Missing):
    """No such path."""


class JobNotFound(Missing):
    """No such job."""


class KeyNotFound(Missing):
    """No such API key."""


class TenantNotFound(Missing):
    """No such tenant."""


class FeedExpired(Missing):
    """The changes are gone."""


class BulkActionNotFound(Missing):
    """No such bulk action."""


class BatchNotFound(Missing):
    """No such batch."""


class WorkflowNotFound(Missing):
    """No such workflow."""


class ScheduleNotFound(Missing):
    """No such schedule."""


class QueueNotFound(Missing):
    """No such queue."""


class WebhookEndpointNotFound(Missing):
    """No such webhook endpoint."""


class WebhookDeliveryNotFound(Missing):
    """No such delivery."""
