"""Errors by the types of problems. Made by `make generate`."""

from jobproc.client.errors import Conflict


class NotRetryable(Conflict):
    """The job cannot be retried in its state."""


class InputRemoved(Conflict):
    """The input has been removed."""


class UniqueConflict(Conflict):
    """Another job holds the unique key."""


class TenantExists(Conflict):
    """The tenant exists."""


class TenantRemoving(Conflict):
    """The tenant is being removed."""


class DefaultTenant(Conflict):
    """The default tenant stays."""


class TooManyTenants(Conflict):
    """Too many tenants."""


class TooManyKeys(Conflict):
    """Too many API keys."""


class TooManyFollowedQueues(Conflict):
    """Too many followed queues."""


class PreconditionFailed(Conflict):
    """The resource has changed."""


class WrongPhase(Conflict):
    """Not possible in the phase of the bulk action."""


class CountNotConfirmed(Conflict):
    """The count of the preview is not confirmed."""


class WorkflowRunning(Conflict):
    """The workflow is not at rest."""


class BatchClosed(Conflict):
    """The batch is closed."""


class BatchFull(Conflict):
    """The batch would have too many jobs."""


class ScheduleExists(Conflict):
    """The schedule exists."""


class ScheduleManaged(Conflict):
    """A file declares the schedule."""


class TooManySchedules(Conflict):
    """Too many schedules."""


class QueueManaged(Conflict):
    """A file declares the limits of the queue."""


class WebhookEndpointDisabled(Conflict):
    """The endpoint is disabled."""


class TooManyWebhookEndpoints(Conflict):
    """Too many webhook endpoints."""


class WebhooksOff(Conflict):
    """Webhooks are off."""


class SignInOff(Conflict):
    """Browsers cannot sign in this way."""
