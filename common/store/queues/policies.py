"""Policies of queues: read, listed, paused, resumed, changed. In the caller's transaction, safe to repeat.

The caller's tenant has its own policies. Those of the operators, for all tenants, are read by everyone.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from common.domain.errors import QueueChanged, QueueManaged, QueueNotFound
from common.domain.tenancy.queue_policies import ALL_TENANTS, QueuePolicies, QueuePolicy
from common.store.connection.caller import TENANTS_SETTING, array
from common.store.feed import following
from common.store.jobs.limits.policy_claims import TOKENS
from common.store.queues.queue_state import QUEUES
from common.store.tenancy.line_index import LINE

EVENTS, MANAGED, PAUSED = "events", "managed", "paused"
LIMITS = ("concurrency", "rate", "burst", "key_concurrency", "key_rate", "key_burst")
_COLUMNS = ("rev", "changed_at", "changed_by", "paused_at", EVENTS, MANAGED, *LIMITS)
_POLICY = ", ".join(f"p.{name}" for name in _COLUMNS)
_SET_CALLER = text(f"SELECT set_config('{TENANTS_SETTING}', :tenants, true)")
_NAMED = f"""
WITH {QUEUES},
named AS (
    SELECT queue FROM known UNION
    SELECT queue FROM queue_policies WHERE tenant = ANY (ARRAY[:tenant, {ALL_TENANTS}])),
page AS MATERIALIZED (SELECT queue FROM named WHERE {{filter}} ORDER BY queue COLLATE "C" LIMIT :limit)
SELECT page.queue, p.tenant, {_POLICY} FROM page
LEFT JOIN queue_policies p ON p.queue = page.queue AND p.tenant = ANY (ARRAY[:tenant, {ALL_TENANTS}])
ORDER BY page.queue COLLATE "C"
"""
_PAGE = text(_NAMED.format(filter='queue COLLATE "C" > :after'))
_ONE = text(_NAMED.format(filter="queue = :queue"))
_ALL = text(f"SELECT p.queue, p.tenant, {_POLICY} FROM queue_policies p")
_NEW_REV = "(extract(epoch FROM clock_timestamp()) * 1e6)::bigint"
_CREATE = text(f"""
INSERT INTO queue_policies (queue, tenant, rev, changed_by) VALUES (:queue, :tenant, {_NEW_REV}, :changed_by)
ON CONFLICT (queue, tenant) DO NOTHING
""")
_LOCK = text(f"SELECT {_POLICY} FROM queue_policies p WHERE p.queue = :queue AND p.tenant = :tenant FOR UPDATE")
_SET_PAUSED = text(f"""
UPDATE queue_policies p
SET paused_at = CASE WHEN CAST(:paused AS boolean) THEN clock_timestamp() END,
    changed_by = :changed_by, changed_at = clock_timestamp(),
    rev = greatest(p.rev + 1, {_NEW_REV})
WHERE queue = :queue AND tenant = :tenant RETURNING {_POLICY}
""")
# The bucket is filled up to now by what it was; a new one is full.
_CHANGE = text(f"""
UPDATE queue_policies p
SET tokens = CASE WHEN p.rate IS NULL THEN coalesce(CAST(:burst AS float8), 0)
                  ELSE least(coalesce(CAST(:burst AS float8), 0), {TOKENS}) END,
    filled_at = clock_timestamp(), rate = CAST(:rate AS float8), burst = CAST(:burst AS float8),
    concurrency = CAST(:concurrency AS integer), key_concurrency = CAST(:key_concurrency AS integer),
    key_rate = CAST(:key_rate AS float8), key_burst = CAST(:key_burst AS float8),
    paused_at = CASE WHEN CAST(:paused AS boolean) THEN coalesce(p.paused_at, clock_timestamp()) END,
    events = CAST(:events AS boolean), managed = CAST(:managed AS boolean), changed_by = :changed_by,
    changed_at = clock_timestamp(), rev = greatest(p.rev + 1, {_NEW_REV})
WHERE queue = :queue AND tenant = :tenant
""")
_ADD_SLOTS = text("""
INSERT INTO queue_slots (queue, tenant, n)
SELECT :queue, :tenant, n FROM generate_series(1, CAST(:concurrency AS integer)) n
ON CONFLICT (queue, tenant, n) DO NOTHING
""")
# Running jobs are ahead of those that wait, but behind more urgent ones: counted among the first ones.
_JOBS = text(f"""
SELECT count(*) FILTER (WHERE job.worker IS NULL), count(job.worker)
FROM generate_series(0, 9) AS p(priority)
CROSS JOIN LATERAL (
    SELECT l.worker FROM live l
    WHERE {LINE.format(queue=":queue", tenant=":tenant")} AND l.priority = p.priority AND l.claimable_at <= now()
    ORDER BY l.claimable_at, l.id LIMIT :limit) job
""")
NO_REVISION = 0  #: of a queue without a policy


def page(connection: Connection, tenant: int, after: str | None, limit: int) -> list[QueuePolicies]:
    """Return up to `limit` queues of operations, workers and policies by name, after a name (None: from the first)."""
    _see_policies_of_operators(connection, tenant)
    rows = connection.execute(_PAGE, {"tenant": tenant, "after": after or "", "limit": limit})
    return _queues(rows.mappings())


def read(connection: Connection, tenant: int, queue: str) -> QueuePolicies:
    """Return a queue with its policies. Raises QueueNotFound."""
    _see_policies_of_operators(connection, tenant)
    found = _queues(connection.execute(_ONE, {"tenant": tenant, "queue": queue, "limit": 1}).mappings())
    if not found:
        raise QueueNotFound
    return found[0]


def jobs(connection: Connection, tenant: int, queue: str, count_limit: int) -> tuple[int, int]:
    """Return how many jobs of a tenant are due and how many run, of each priority counted up to `count_limit`."""
    queued, running = connection.execute(_JOBS, {"tenant": tenant, "queue": queue, "limit": count_limit}).one()
    return int(queued), int(running)


def set_paused(
    connection: Connection,
    tenant: int,
    queue: str,
    changed_by: str | None,
    revisions: frozenset[int] | None = None,
    *,
    paused: bool,
) -> bool:
    """Pause or resume the jobs of a tenant in a queue, or with ALL_TENANTS those of all. Return True if it was not.

    `revisions`: those that the request expects; None: any. Raises QueueNotFound or QueueChanged.
    """
    read(connection, tenant, queue)
    values = {"queue": queue, "tenant": tenant, "changed_by": changed_by}
    before = _lock(connection, values, revisions)
    if (before is not None and before.paused_at is not None) == paused:
        return False
    connection.execute(_SET_PAUSED, {**values, "paused": paused})
    return True


def change(
    connection: Connection,
    tenant: int,
    queue: str,
    members: Mapping[str, Any],
    changed_by: str | None,
    revisions: frozenset[int] | None = None,
) -> bool:
    """Change limits of a policy, and `paused`: those that `members` has. Return True if that changed it.

    A claim that begins after the commit keeps to it. Raises QueueNotFound, QueueChanged, QueueManaged,
    FeedNotSwitched or TooManyFollowedQueues.
    """
    known = read(connection, tenant, queue)
    policy = known.of_operators if tenant == ALL_TENANTS else known.own
    _check_not_managed(policy, members)  # before the lock, which keeps writers off
    if members.get(EVENTS, is_followed(policy)) != is_followed(policy):
        following.lock(connection)
    values = {"queue": queue, "tenant": tenant, "changed_by": changed_by}
    before = _lock(connection, values, revisions)
    _check_not_managed(before, members)
    is_changed = _write(connection, values, before, members)
    if members.get(EVENTS, is_followed(before)) != is_followed(before):
        following.apply(connection)
    return is_changed


def declare(
    connection: Connection, tenant: int, queue: str, limits: Mapping[str, Any], changed_by: str, *, managed: bool
) -> bool:
    """Set the limits of a policy as a file says, also of an unknown queue. Return True if that changed it.

    Its pause stays. The caller follows queues by `events`.
    """
    values = {"queue": queue, "tenant": tenant, "changed_by": changed_by}
    return _write(connection, values, _lock(connection, values, None), {**limits, MANAGED: managed})


def of_all(connection: Connection) -> dict[tuple[int, str], QueuePolicy]:
    """Return the policies of all tenants and of the operators, by tenant and queue, as the owner of the tables."""
    return {(row["tenant"], row["queue"]): _policy(row) for row in connection.execute(_ALL).mappings()}


def is_followed(policy: QueuePolicy | None) -> bool:
    """Return True if by a policy the changes of jobs are in the feed."""
    return policy is not None and policy.events


def _lock(connection: Connection, values: Mapping[str, Any], revisions: frozenset[int] | None) -> QueuePolicy | None:
    """Lock the row of a policy, which is created if it is missing; return the policy before. Raises QueueChanged."""
    created = connection.execute(_CREATE, values).rowcount
    row = connection.execute(_LOCK, values).mappings().one()
    before = None if created else _policy(row)
    if revisions is not None and (NO_REVISION if before is None else before.rev) not in revisions:
        raise QueueChanged
    return before


def _check_not_managed(policy: QueuePolicy | None, members: Mapping[str, Any]) -> None:
    if policy is not None and policy.managed and members.keys() - {PAUSED}:
        raise QueueManaged


def _write(
    connection: Connection, values: Mapping[str, Any], before: QueuePolicy | None, members: Mapping[str, Any]
) -> bool:
    """Set members of a policy that is locked; the others stay. Return True if that changed it."""
    old: dict[str, Any] = {name: None if before is None else getattr(before, name) for name in LIMITS}
    old |= {PAUSED: before is not None and before.paused_at is not None, EVENTS: is_followed(before)}
    old[MANAGED] = before is not None and before.managed
    new = {**old, **members}
    if new == old:
        return False
    if new["concurrency"] is not None:
        connection.execute(_ADD_SLOTS, {**values, **new})
    connection.execute(_CHANGE, {**values, **new})
    return True


def _see_policies_of_operators(connection: Connection, tenant: int) -> None:
    connection.execute(_SET_CALLER, {"tenants": array({tenant, ALL_TENANTS})})


def _queues(rows: Iterable[Mapping[Any, Any]]) -> list[QueuePolicies]:
    policies: dict[str, dict[bool, QueuePolicy]] = {}
    for row in rows:
        of_queue = policies.setdefault(row["queue"], {})
        if row["tenant"] is not None:
            of_queue[row["tenant"] == ALL_TENANTS] = _policy(row)
    return [QueuePolicies(queue, found.get(False), found.get(True)) for queue, found in policies.items()]


def _policy(row: Mapping[Any, Any]) -> QueuePolicy:
    return QueuePolicy(**{name: row[name] for name in _COLUMNS})
