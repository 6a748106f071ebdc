"""The claim of a queue that has a policy. It is by line, and reads the policies in its own snapshot."""

from collections.abc import Sequence

from common.domain.queues import ALL_TENANTS
from common.store.connection.statement import Row, Statement
from common.store.jobs.claims import MARK_SLACK, SETTLING, take_picked
from common.store.jobs.lines import BY_LINE_TYPES, PICK_BY_LINE, TURN_COLUMNS, TURNS

_POLICIES = f"""
open AS MATERIALIZED (SELECT (now() - {MARK_SLACK})::text AS floor),
policies AS MATERIALIZED (
    SELECT tenant, paused_at IS NOT NULL AS paused FROM queue_policies
    WHERE queue = $8 AND in_force),
turns AS MATERIALIZED (
    SELECT asked.tenant, asked.first_band, asked.last_band,
           CASE WHEN EXISTS (SELECT FROM policies p WHERE p.tenant IN ({ALL_TENANTS}, asked.tenant) AND p.paused)
                THEN 0 ELSE asked.jobs END AS jobs
    FROM {TURNS} AS asked{TURN_COLUMNS})
"""
_PICK = PICK_BY_LINE.format(turns="turns", columns="", condition="turn.jobs > 0")
_MORE = """,
       (SELECT array_agg(p.tenant) FROM policies p), (SELECT array_agg(p.tenant) FROM policies p WHERE p.paused),
       (SELECT array_agg(turns.jobs) FROM turns)"""

SETTLE_AND_CLAIM_UNDER_POLICIES = Statement(
    "settle_and_claim_under_policies",
    BY_LINE_TYPES,
    f"WITH {SETTLING}, {_POLICIES}, {_PICK}, {take_picked(_MORE)}",
)


class KnownPolicies:
    """The policies of a queue as the last claim of a worker process has read them."""

    def __init__(self) -> None:
        self.in_force = False  #: True: the queue has a policy, so claims read it
        self.paused: frozenset[int] = frozenset()  #: tenants whose jobs are not claimed; ALL_TENANTS: of all
        self._limited: set[int] = set()  # tenants of which the visit has what their limits allow

    def begin_visit(self) -> None:
        """Begin to claim for what may be a while later than the last time."""
        self._limited.clear()

    def found(self) -> None:
        """Take note that the queue has a policy: a claim was refused."""
        self.in_force = True

    def allow(self, tenant: int) -> bool:
        """Return False if the visit has what the limits of a tenant allow."""
        return tenant not in self._limited

    def is_paused(self, *, several: bool) -> bool:
        """Return True if no job of the queue is claimed. `several`: there are several tenants."""
        return bool(self.paused) and (ALL_TENANTS in self.paused or not several)

    def read(self, row: Row, turns: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Take note of what a claim has read; return its turns (tenant, jobs) as the policies have allowed them."""
        self.in_force, self.paused = row[15] is not None, frozenset(row[16] or ())
        allowed = [(tenant, jobs) for (tenant, _), jobs in zip(turns, row[17] or (), strict=True)]
        self._limited.update(tenant for (tenant, asked), (_, jobs) in zip(turns, allowed, strict=True) if jobs < asked)
        return allowed
