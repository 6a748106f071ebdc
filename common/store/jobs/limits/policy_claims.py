"""The claim of a queue that has policies. It is by line, and reads the policies in its own snapshot.

A limit of jobs at once is a number of slots (rows of `queue_slots`). A process that runs one job at a time has one
however many it has claimed, and keeps it from claim to claim; one of an event loop has as many as it has jobs in hand.
So jobs write nothing of it. A slot is free when nobody has it, or the lease of who has it was ended, which releases the
jobs in the same transaction. A limit of jobs a second is a token bucket in the row of the policy: the claim locks the
row, takes as many jobs as there are tokens, and pays for them.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.domain.tenancy.queue_policies import ALL_TENANTS
from common.store.connection.statement import Row, Statement, array_literal
from common.store.jobs.claims import MARK_SLACK, SETTLING, take_picked
from common.store.jobs.lines import BY_LINE_TYPES, PICK_BY_LINE, TURNS

if TYPE_CHECKING:  # the API does not import psycopg2
    from common.store.connection.psycopg2_session import WorkerConnection

#: The tokens of the bucket of a policy now.
TOKENS = """least(burst, tokens + rate * greatest(0, extract(epoch FROM clock_timestamp() - filled_at)))"""
#: True if a policy p holds for the jobs of a tenant.
_HOLDS = f"p.tenant IN ({ALL_TENANTS}, {{tenant}})"
# `held` and `in_hand`: the slots of this process, and the jobs that it still has: $17 by tenant $18. $19: it runs many
# jobs at a time. A bucket without a token is not locked, so a claim that gets nothing writes nothing.
_POLICIES = f"""
open AS MATERIALIZED (SELECT (now() - {MARK_SLACK})::text AS floor),
asked AS MATERIALIZED (SELECT * FROM {TURNS} WITH ORDINALITY AS asked(tenant, first_band, last_band, jobs, number)),
own AS MATERIALIZED (SELECT s.tenant, s.n FROM queue_slots s WHERE s.queue = $8 AND s.worker = $1),
in_force AS MATERIALIZED (
    SELECT p.tenant, p.paused_at IS NOT NULL AS paused, p.concurrency, p.rate, p.burst,
           num_nonnulls(p.key_concurrency, p.key_rate) > 0 AS of_keys,
           CASE WHEN p.rate IS NOT NULL THEN {TOKENS} END AS tokens,
           (SELECT coalesce(sum(asked.jobs), 0) FROM asked WHERE {_HOLDS.format(tenant="asked.tenant")}) AS asked,
           (SELECT count(*) FROM own WHERE own.tenant = p.tenant AND own.n <= p.concurrency) AS held,
           (SELECT coalesce(sum(h.jobs), 0) FROM ROWS FROM (unnest($17), unnest($18)) AS h(tenant, jobs)
            WHERE {_HOLDS.format(tenant="h.tenant")}) AS in_hand
    FROM queue_policies p WHERE p.queue = $8 AND p.in_force),
buckets AS MATERIALIZED (
    SELECT p.tenant, {TOKENS} AS tokens FROM queue_policies p
    WHERE p.queue = $8 AND p.in_force AND p.rate IS NOT NULL AND p.paused_at IS NULL AND {TOKENS} >= 1
      AND EXISTS (SELECT FROM asked WHERE {_HOLDS.format(tenant="asked.tenant")})
    ORDER BY p.tenant FOR UPDATE),
free AS MATERIALIZED (
    SELECT p.tenant, slot.n
    FROM in_force p
    CROSS JOIN LATERAL (
        SELECT s.n FROM queue_slots s
        WHERE s.queue = $8 AND s.tenant = p.tenant AND s.n <= p.concurrency AND s.worker IS DISTINCT FROM $1
          AND (s.worker IS NULL OR NOT EXISTS (SELECT FROM workers w WHERE w.id = s.worker AND w.ended_at IS NULL))
        ORDER BY s.n
        LIMIT CASE WHEN p.paused OR p.asked = 0 THEN 0
                   WHEN $19 THEN greatest(0, p.in_hand + least(p.asked, $16) - p.held)
                   ELSE greatest(0, 1 - p.held) END
        FOR UPDATE SKIP LOCKED) slot
    WHERE p.concurrency IS NOT NULL),
rooms AS MATERIALIZED (
    SELECT p.tenant,
           least(CASE WHEN p.paused THEN 0 END,
                 CASE WHEN p.concurrency IS NULL THEN NULL
                      WHEN $19 THEN p.held + (SELECT count(*) FROM free f WHERE f.tenant = p.tenant) - p.in_hand
                      WHEN p.held = 0 AND NOT EXISTS (SELECT FROM free f WHERE f.tenant = p.tenant) THEN 0 END,
                 CASE WHEN p.rate IS NOT NULL
                      THEN coalesce((SELECT floor(b.tokens) FROM buckets b WHERE b.tenant = p.tenant), 0) END) AS jobs
    FROM in_force p),
turns AS MATERIALIZED (
    SELECT asked.number, asked.tenant, asked.first_band, asked.last_band,
           greatest(0, least(asked.jobs, (
               SELECT min(p.jobs) FROM rooms p WHERE {_HOLDS.format(tenant="asked.tenant")})))::bigint AS jobs
    FROM asked)
"""
_LIMIT = f"greatest(0, least($16, (SELECT p.jobs FROM rooms p WHERE p.tenant = {ALL_TENANTS})))"
_PICK = PICK_BY_LINE.format(turns="turns", columns="", condition="turn.jobs > 0", limit=_LIMIT)
# A process that gets nothing gives its slots back: `changes` has the free ones that it takes and the own ones that it
# gives back. Their keys are arrays, because a plan made while the table is empty may read the table first and `changes`
# for each of its rows (8 s for 10,000 slots).
_SPENT = f"""
spent AS MATERIALIZED (
    SELECT p.*, (SELECT count(*) FROM pick WHERE {_HOLDS.format(tenant="pick.tenant")}) AS picked FROM in_force p),
paid AS (
    UPDATE queue_policies q SET tokens = b.tokens - spent.picked, filled_at = clock_timestamp()
    FROM buckets b JOIN spent ON spent.tenant = b.tenant
    WHERE q.queue = $8 AND q.tenant = b.tenant AND spent.picked > 0),
places AS (
    SELECT had.*, row_number() OVER (PARTITION BY tenant ORDER BY is_free, n) AS place
    FROM (SELECT own.*, false AS is_free FROM own UNION ALL SELECT free.*, true FROM free) had),
changes AS MATERIALIZED (
    SELECT places.tenant, places.n, places.is_free
    FROM places LEFT JOIN spent ON spent.tenant = places.tenant
    WHERE places.is_free = coalesce(
        places.n <= spent.concurrency
        AND places.place <= CASE WHEN $19 THEN spent.in_hand + spent.picked ELSE least(spent.picked, 1) END, false)),
slots AS (
    UPDATE queue_slots s SET worker = CASE WHEN s.worker IS DISTINCT FROM $1 THEN $1 END
    WHERE s.queue = $8
      AND s.tenant = ANY (ARRAY(SELECT tenant FROM changes)) AND s.n = ANY (ARRAY(SELECT n FROM changes))
      AND EXISTS (
          SELECT FROM changes c WHERE c.tenant = s.tenant AND c.n = s.n AND (c.is_free OR s.worker = $1)))
"""
# By policy its bucket when it has paid: in how many seconds it has a token again.
_WAIT_S = """(
    SELECT min((1 - remaining.tokens) / remaining.rate)
    FROM (SELECT spent.rate, spent.tokens - spent.picked AS tokens FROM spent
          WHERE spent.rate IS NOT NULL AND NOT spent.paused AND spent.asked > 0) remaining
    WHERE remaining.tokens < 1)::float8"""
_MORE = f""",
       (SELECT array_agg(p.tenant) FROM in_force p), (SELECT array_agg(p.tenant) FROM in_force p WHERE p.paused),
       (SELECT bool_or(p.concurrency IS NOT NULL) FROM in_force p), {_WAIT_S},
       (SELECT bool_or(p.rate IS NOT NULL) FROM in_force p), (SELECT bool_or(p.of_keys) FROM in_force p),
       (SELECT array_agg(turns.jobs ORDER BY number) FROM turns), {_LIMIT}::bigint"""

SETTLE_AND_CLAIM_UNDER_POLICIES = Statement(
    "settle_and_claim_under_policies",
    f"{BY_LINE_TYPES}, int[], bigint[], boolean",
    f"WITH {SETTLING}, {_POLICIES}, {_PICK}, {_SPENT}, {take_picked(_MORE)}",
)
GIVE_BACK = Statement(
    "give_back_slots",
    "bigint, text",
    "UPDATE queue_slots SET worker = NULL WHERE queue = $2 AND worker = $1 RETURNING n",
)
MOVE = Statement(
    "move_slots",
    "bigint, bigint[]",
    "UPDATE queue_slots SET worker = $1 WHERE worker = ANY ($2) RETURNING n",
)


@dataclass(slots=True)
class JobsInHand:
    """The jobs of a queue that a process has beside those that it settles with a claim."""

    many_at_a_time: bool = False  #: True: each needs a slot. False: the process runs one job at a time
    by_tenant: Mapping[int, int] | None = None

    def arguments(self) -> tuple[str, str, bool]:
        """Return the last arguments of the statement."""
        jobs = self.by_tenant or {}
        return array_literal(jobs), array_literal(jobs.values()), self.many_at_a_time


class KnownPolicies:
    """The policies of a queue as the last claim of a worker process has read them."""

    def __init__(self) -> None:
        self.in_force = False  #: True: the queue has a policy, so claims read it
        self.has_slots = False  #: True: jobs at once are limited
        self.has_rate = False  #: True: a claim may lock a bucket
        self.limits_keys = False  #: True: jobs with a concurrency key need a place of it
        self.paused: frozenset[int] = frozenset()  #: tenants whose jobs are not claimed; ALL_TENANTS: of all
        self.wait_s: float | None = None  #: in how many seconds a bucket has a token again; None: no job waits for one
        self._limited: set[int] = set()  # tenants of which the visit has what their limits allow
        self._is_full = False  # the visit has what the limits for all tenants allow

    def begin_visit(self) -> None:
        """Begin to claim for what may be a while later than the last time."""
        self._limited.clear()
        self._is_full, self.wait_s = False, None

    def found(self) -> None:
        """Take note that the queue has a policy: a claim was refused."""
        self.in_force = True

    def allow(self, tenant: int) -> bool:
        """Return False if the visit has what the limits of a tenant allow."""
        return not self._is_full and tenant not in self._limited

    def wait(self, wait_s: float | None) -> None:
        """Take note of when a job may start that waits for a token of its key, in seconds; None: no job does."""
        if wait_s is not None:
            self.wait_s = wait_s if self.wait_s is None else min(self.wait_s, wait_s)

    def is_paused(self, *, several: bool) -> bool:
        """Return True if no job of the queue is claimed. `several`: there are several tenants."""
        return bool(self.paused) and (ALL_TENANTS in self.paused or not several)

    def read(self, row: Row, turns: Sequence[tuple[int, int]], limit: int) -> tuple[list[tuple[int, int]], int]:
        """Take note of what a claim has read; return its turns (tenant, jobs) and its limit as the policies allowed."""
        tenants, paused, has_slots, wait_s, has_rate, of_keys, rooms, room = row[15:23]
        self.has_rate, self.limits_keys = bool(has_rate), bool(of_keys)
        self.wait(wait_s)
        self.in_force, self.paused, self.has_slots = tenants is not None, frozenset(paused or ()), bool(has_slots)
        allowed = [(tenant, jobs) for (tenant, _), jobs in zip(turns, rooms or (), strict=True)]
        self._limited.update(tenant for (tenant, asked), (_, jobs) in zip(turns, allowed, strict=True) if jobs < asked)
        self._is_full = room < limit
        return allowed, room


def move_slots(connection: "WorkerConnection", worker: int, former_workers: Collection[int]) -> None:
    """Move the slots of former ids of a process to its new one, with the jobs that run on."""
    connection.run(MOVE, (worker, array_literal(former_workers)))


def give_back_slots(connection: "WorkerConnection", worker: int, queue: str) -> None:
    """Give back the slots of a process that leaves a queue."""
    connection.run(GIVE_BACK, (worker, queue))
