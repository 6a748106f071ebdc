"""The tables: the data dictionary that the API and worker images share.

Start at `jobs.py`. The meaning of each column stands beside it. At run time Alembic's environment alone imports these
models; the statements of `common.store` spell tables and columns as SQL. Tests compare the models with the migrated
schema (tests/migrations), and the columns in the SQL with the models (tests/unit/common/models).
Imports SQLAlchemy alone.
"""

from common.models.access import ApiKeyRow, AuditRow, ConsoleSessionRow
from common.models.base import Base
from common.models.batches import AddedParents, Batch
from common.models.bulk_actions import BulkAction, BulkActionJob
from common.models.jobs import Attempt, Deadline, Expiry, Job, Live, Outcome, RunRow, Tag
from common.models.keys import IdempotencyKeyRow, UniqueKeyRow
from common.models.queues import ConcurrencyKeyRow, Feed, FeedChange, FeedPage, QueuePolicyRow, QueueSlot
from common.models.schedules import Schedule, ScheduleFire
from common.models.tenants import Tenant
from common.models.usage import StoredBytes, TenantUsage, UsageCount
from common.models.webhooks import WebhookEndpoint, WebhookSecret, WebhookSweep
from common.models.workers import Leader, OperationRow, Worker

__all__ = [
    "AddedParents",
    "ApiKeyRow",
    "Attempt",
    "AuditRow",
    "Base",
    "Batch",
    "BulkAction",
    "BulkActionJob",
    "ConcurrencyKeyRow",
    "ConsoleSessionRow",
    "Deadline",
    "Expiry",
    "Feed",
    "FeedChange",
    "FeedPage",
    "IdempotencyKeyRow",
    "Job",
    "Leader",
    "Live",
    "OperationRow",
    "Outcome",
    "QueuePolicyRow",
    "QueueSlot",
    "RunRow",
    "Schedule",
    "ScheduleFire",
    "StoredBytes",
    "Tag",
    "Tenant",
    "TenantUsage",
    "UniqueKeyRow",
    "UsageCount",
    "WebhookEndpoint",
    "WebhookSecret",
    "WebhookSweep",
    "Worker",
]
