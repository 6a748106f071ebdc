"""Tenants: the owners of jobs and of all that belongs to them."""

import re
from dataclasses import dataclass
from enum import StrEnum

DEFAULT_TENANT = 1  #: the number of the tenant that is there from the start
DEFAULT_TENANT_NAME = "default"
NAME_PATTERN = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # a label of DNS
_NAME = re.compile(NAME_PATTERN)


class TenantState(StrEnum):
    """The state of a tenant."""

    ACTIVE = "ACTIVE"  #: its clients are served
    SUSPENDED = "SUSPENDED"  #: its clients are refused, and its waiting jobs wait on
    DRAINING = "DRAINING"  #: it submits nothing new; its jobs end
    REMOVING = "REMOVING"  #: its clients are refused, and all that it has is deleted


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant."""

    id: int
    name: str
    state: TenantState = TenantState.ACTIVE


def is_tenant_name(text: str) -> bool:
    """Return True if a text can be the name of a tenant."""
    return _NAME.fullmatch(text) is not None
