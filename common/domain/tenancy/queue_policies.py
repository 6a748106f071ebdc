"""Policies of queues: a pause, and limits."""

from dataclasses import dataclass
from datetime import datetime

MAX_CONCURRENCY = 10_000  #: a row of `queue_slots` each
MAX_KEY_CONCURRENCY = 1_000  #: ids in the row of a key
MAX_FOLLOWED_QUEUES = 200  #: of an installation; each write of a job compares its queue with them
ALL_TENANTS = 0  #: no tenant's number: the policy of the operators, for the jobs of all tenants


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The policy of one tenant, or of the operators, for a queue."""

    rev: int  #: its ETag
    changed_at: datetime
    changed_by: str | None  #: None: callers are not authenticated
    paused_at: datetime | None  #: None: not paused
    concurrency: int | None  #: jobs at once; None: any number
    rate: float | None  #: jobs that start a second; None: any number
    burst: float | None  #: of them that may start at once
    key_concurrency: int | None  #: jobs at once of each concurrency key
    key_rate: float | None  #: as `rate`, of each concurrency key
    key_burst: float | None
    events: bool  #: changes of its jobs are in the feed
    managed: bool  #: a file declares its limits


@dataclass(frozen=True, slots=True)
class QueuePolicies:
    """The policies of a queue that hold for the jobs of a tenant. None: there is none."""

    queue: str
    own: QueuePolicy | None = None
    of_operators: QueuePolicy | None = None

    @property
    def is_paused(self) -> bool:
        """True if no job of the tenant starts."""
        return any(policy is not None and policy.paused_at is not None for policy in (self.own, self.of_operators))
