"""Tenants: the owners of jobs and of all that belongs to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

DEFAULT_TENANT = 1  #: the number of the tenant that is there from the start
DEFAULT_TENANT_NAME = "default"
NAME_PATTERN = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # a label of DNS
_NAME = re.compile(NAME_PATTERN)
_UNKNOWN = datetime.min.replace(tzinfo=UTC)
#: Columns of the quotas of a tenant; None there: no limit.
QUOTAS = (
    "max_waiting_jobs",
    "max_running_jobs",
    "max_jobs_per_minute",
    "max_stored_bytes",
    "max_webhooks",
    "max_schedules",
)


class TenantState(StrEnum):
    """The state of a tenant."""

    ACTIVE = "ACTIVE"  #: its clients are served
    SUSPENDED = "SUSPENDED"  #: its clients are refused, and its waiting jobs wait on
    DRAINING = "DRAINING"  #: it submits nothing new; its jobs end
    REMOVING = "REMOVING"  #: its clients are refused, and all that it has is deleted


class TenantRequest(StrEnum):
    """The request of an operator about a tenant. Names are part of paths."""

    SUSPEND = "suspend"
    RESUME = "resume"
    DRAIN = "drain"
    REMOVE = "remove"


#: The state in which each request leaves a tenant, from any state but REMOVING, which is final.
STATE_AFTER: Mapping[TenantRequest, TenantState] = {
    TenantRequest.SUSPEND: TenantState.SUSPENDED,
    TenantRequest.RESUME: TenantState.ACTIVE,
    TenantRequest.DRAIN: TenantState.DRAINING,
    TenantRequest.REMOVE: TenantState.REMOVING,
}
#: Not of the default tenant: its keys are those of operators, who would lock themselves out.
NOT_OF_DEFAULT = frozenset({TenantRequest.SUSPEND, TenantRequest.REMOVE})


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant."""

    id: int
    name: str
    state: TenantState = TenantState.ACTIVE
    weight: float = 1.0  #: its share of the workers while others wait too, in proportion to theirs
    created_at: datetime = _UNKNOWN
    changed_at: datetime = _UNKNOWN
    max_waiting_jobs: int | None = None  #: quotas; None: no limit
    max_running_jobs: int | None = None
    max_jobs_per_minute: int | None = None
    max_stored_bytes: int | None = None
    max_webhooks: int | None = None
    max_schedules: int | None = None


def is_tenant_name(text: str) -> bool:
    """Return True if a text can be the name of a tenant."""
    return _NAME.fullmatch(text) is not None
