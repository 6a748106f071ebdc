"""The limits of queues that a file declares, applied by the migration: set, and taken away when they are gone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from common.domain.errors import StartupError, TooManyFollowedQueues
from common.domain.tenancy.audit import AuditAction
from common.domain.tenancy.queue_policies import ALL_TENANTS, MAX_FOLLOWED_QUEUES, QueuePolicy
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.queue_definitions.file import DeclaredQueues
from common.store.feed import following
from common.store.queues import policies
from common.store.queues.policies import EVENTS, LIMITS, is_followed
from common.store.tenancy import declarations

_NO_LIMITS = {**dict.fromkeys(LIMITS), EVENTS: False}


@dataclass(frozen=True, slots=True)
class Applied:
    """The numbers of policies that a run has changed."""

    changed: int  #: to what the file declares
    released: int  #: without limits, because the file no longer declares them


def apply(connection: Connection, declared: DeclaredQueues) -> Applied:
    """Make the limits of the managed policies those of a file. Atomic, in the caller's transaction; safe to repeat.

    Pauses stay. Raises StartupError for an unknown tenant and for too many followed queues, and FeedNotSwitched.
    """
    tenants = declarations.tenants(connection, {name for name, _ in declared.limits if name is not None}, "queues")
    wanted = {
        (ALL_TENANTS if tenant is None else tenants[tenant], queue): limits.limits()
        for (tenant, queue), limits in declared.limits.items()
    }
    stored = policies.of_all(connection)
    # Requests change no limit of a managed policy, so one that is equal stays equal.
    different = {place: limits for place, limits in wanted.items() if not _is_declared(stored.get(place), limits)}
    gone = {place for place, policy in stored.items() if policy.managed} - wanted.keys()
    changes = {**different, **dict.fromkeys(gone, _NO_LIMITS)}
    if switches := any(limits[EVENTS] != is_followed(stored.get(place)) for place, limits in changes.items()):
        following.lock(connection)
    now = declarations.now(connection)
    for place in sorted(changes):
        tenant, queue = place
        policies.declare(connection, tenant, queue, changes[place], declarations.SUBJECT, managed=place in wanted)
        of_all = tenant == ALL_TENANTS
        declarations.record(
            *(connection, now, AuditAction.QUEUE_CHANGE, DEFAULT_TENANT if of_all else tenant, queue),
            {"changed": _differences(stored.get(place), changes[place]), **({"all_tenants": True} if of_all else {})},
        )
    if switches:
        try:
            following.apply(connection)
        except TooManyFollowedQueues:
            raise StartupError(
                f"more than {MAX_FOLLOWED_QUEUES} queues would be followed: take `events` away"
            ) from None
    return Applied(len(different), len(gone))


def _is_declared(policy: QueuePolicy | None, limits: Mapping[str, Any]) -> bool:
    return policy is not None and policy.managed and not _differences(policy, limits)


def _differences(policy: QueuePolicy | None, limits: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, value in limits.items() if getattr(policy, name, _NO_LIMITS[name]) != value)
