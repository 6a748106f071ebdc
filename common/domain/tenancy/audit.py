"""Entries of the audit log: who did what to which thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID


class AuditAction(StrEnum):
    """A kind of change. The part before the dot is the kind of thing that it was done to."""

    JOB_CANCEL = "job.cancel"
    JOB_RETRY = "job.retry"
    BATCH_CLOSE = "batch.close"
    BATCH_CANCEL = "batch.cancel"
    WORKFLOW_CANCEL = "workflow.cancel"
    WORKFLOW_RETRY = "workflow.retry"
    BULK_ACTION_START = "bulk_action.start"
    BULK_ACTION_STOP = "bulk_action.stop"
    BULK_ACTION_UNDO = "bulk_action.undo"
    KEY_CREATE = "key.create"
    KEY_ROTATE = "key.rotate"
    KEY_REVOKE = "key.revoke"
    SESSION_CREATE = "session.create"
    SESSION_END = "session.end"
    SCHEDULE_CREATE = "schedule.create"
    SCHEDULE_CHANGE = "schedule.change"
    SCHEDULE_DELETE = "schedule.delete"
    SCHEDULE_PAUSE = "schedule.pause"
    SCHEDULE_RESUME = "schedule.resume"
    SCHEDULE_RUN = "schedule.run"
    QUEUE_PAUSE = "queue.pause"
    QUEUE_RESUME = "queue.resume"
    QUEUE_CHANGE = "queue.change"
    WEBHOOK_CREATE = "webhook.create"
    WEBHOOK_CHANGE = "webhook.change"
    WEBHOOK_DELETE = "webhook.delete"
    WEBHOOK_ROTATE = "webhook.rotate"
    WEBHOOK_TEST = "webhook.test"
    WEBHOOK_REDELIVER = "webhook.redeliver"
    TENANT_CREATE = "tenant.create"
    TENANT_CHANGE = "tenant.change"
    TENANT_SUSPEND = "tenant.suspend"
    TENANT_RESUME = "tenant.resume"
    TENANT_DRAIN = "tenant.drain"
    TENANT_REMOVE = "tenant.remove"

    @property
    def kind(self) -> str:
        """The kind of thing that the action changes."""
        return self.value.partition(".")[0]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry that is to be stored with the change that it describes."""

    id: UUID  #: a UUIDv7: its time is that of the request
    tenant: int  #: whose thing it was
    subject: str  #: who did it
    address: str  #: from where; empty: not by a request
    request_id: str
    action: AuditAction
    thing: str  #: the id or the name of what was changed
    details: Mapping[str, object] = field(default_factory=dict)
