"""The events of webhooks, and the job that delivers one."""

from enum import StrEnum

OPERATION = "jobproc.webhook"  #: of the delivery jobs; every worker has it, and no client can submit it
QUEUE = "webhooks"  #: of the delivery jobs
RESERVED_PREFIX = "jobproc."  #: of the names of operations that packages cannot declare
TAG_PREFIX = "webhook:"  #: before the id of the endpoint: a tag of its delivery jobs


class EventType(StrEnum):
    """The type of an event. Names are on the wire, and stored."""

    JOB_SUCCEEDED = "job.succeeded"
    JOB_FAILED = "job.failed"
    JOB_CANCELLED = "job.cancelled"
    BATCH_ENDED = "batch.ended"
    WORKFLOW_ENDED = "workflow.ended"
    TEST = "webhook.test"  #: a client has asked for it; sent whatever an endpoint is subscribed to


#: Those that an endpoint can be subscribed to.
SUBSCRIBABLE = tuple(event for event in EventType if event is not EventType.TEST)


class EndpointState(StrEnum):
    """The state of an endpoint. Names are on the wire."""

    ACTIVE = "ACTIVE"
    FAILING = "FAILING"  #: its circuit is open: its deliveries wait, and one at a time tries
    DISABLED = "DISABLED"  #: nothing is delivered


class DisabledReason(StrEnum):
    """The reason for which an endpoint is disabled. Names are stored."""

    REQUESTED = "requested"  #: a client has disabled it
    GONE = "gone"  #: it has answered 410
    FAILING = "failing"  #: it has failed for JOBPROC_WEBHOOK_DISABLE_AFTER_SECONDS
