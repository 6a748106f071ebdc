"""Scopes: what a caller of the API may do. Each route needs exactly one (api/auth/route.py)."""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """A right of an API key or a token. No scope implies another."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    JOBS_CANCEL = "jobs:cancel"
    JOBS_PAYLOAD = "jobs:payload"
    BULK = "bulk"
    QUEUES = "queues"
    SCHEDULES = "schedules"
    WEBHOOKS = "webhooks"
    KEYS = "keys"
    AUDIT = "audit"
    ADMIN = "admin"


#: What each scope allows, for the OpenAPI document and the reference.
DESCRIPTIONS = {
    Scope.JOBS_READ: "See jobs, their states, attempts and errors, without inputs, results and logs; and operations.",
    Scope.JOBS_WRITE: "Submit jobs, and retry them.",
    Scope.JOBS_CANCEL: "Cancel jobs.",
    Scope.JOBS_PAYLOAD: "See the inputs, results and logs of jobs.",
    Scope.BULK: "Preview, start, stop, undo and list bulk actions.",
    Scope.QUEUES: "See the statistics of queues, and control queues.",
    Scope.SCHEDULES: "See and change schedules, which submit their jobs.",
    Scope.WEBHOOKS: "See and change webhooks.",
    Scope.KEYS: "List, create, rotate and revoke API keys of the tenant.",
    Scope.AUDIT: "See the audit log of the tenant.",
    Scope.ADMIN: "Operate: see and change tenants, and act in any of them.",
}
ALL_SCOPES = frozenset(Scope)


def parsed_scopes(names: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes of these names. Raises ValueError, which lists the scopes, for any other name."""
    names = list(names)
    unknown = sorted(set(names) - set(Scope))
    if unknown:
        raise ValueError(f"unknown scopes: {', '.join(unknown)}; the scopes are {', '.join(Scope)}")
    return frozenset(map(Scope, names))
