"""Lines: the waiting jobs of one tenant in one queue, each in the order of its priorities, and the claim by line.

The index `live_line` has each line as a range, and the lines of a queue side by side.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from common.domain.tenancy.running_quota import RunningJobs
from common.store.connection.statement import Statement
from common.store.jobs.claims import DUE, IS_OPEN, MARK_SLACK, OPEN, RUNNABLE_HERE, SETTLING, UNCLAIMED, take_picked
from common.store.tenancy.line_index import LINE, OF_QUEUE

if TYPE_CHECKING:  # the API does not import psycopg2
    from common.store.connection.psycopg2_session import WorkerConnection

OTHERS = "0"  #: no tenant's number: the published marks of all lines that have none of their own

# A turn is a tenant with some bands, which are its priorities; each band is read from its own mark on. The first turns
# leave to the next ones what they do not take.
PICK_BY_LINE = f"""
pick AS MATERIALIZED (
    SELECT due.id, turn.tenant
    FROM {{turns}} AS turn{{columns}}
    CROSS JOIN LATERAL (
        SELECT job.id
        FROM generate_series(turn.first_band, turn.last_band) AS band(n)
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE {LINE.format(queue="$8", tenant="turn.tenant")} AND l.priority = ($13)[band.n]
              AND (l.claimable_at, l.id) > (($14)[band.n], ($15)[band.n])
              AND {UNCLAIMED} AND {DUE} AND {RUNNABLE_HERE}
            ORDER BY l.claimable_at, l.id LIMIT turn.jobs FOR UPDATE SKIP LOCKED) job
        LIMIT turn.jobs) due
    WHERE {{condition}}
    LIMIT {{limit}})
"""
#: The turns of a claim.
TURNS = "ROWS FROM (unnest($9), unnest($10), unnest($11), unnest($12))"
TURN_COLUMNS = "(tenant, first_band, last_band, jobs)"

_PICK_OF_ALL = PICK_BY_LINE.format(turns=TURNS, columns=TURN_COLUMNS, condition=IS_OPEN, limit="$16")
BY_LINE_TYPES = (
    "bigint, uuid[], smallint[], json, bigint[], float8, float8, text, int[], int[], int[], bigint[], smallint[], "
    "timestamptz[], uuid[], bigint"
)
SETTLE_AND_CLAIM_BY_LINE = Statement(
    "settle_and_claim_by_line",
    BY_LINE_TYPES,
    f"WITH {SETTLING}, {OPEN}, {_PICK_OF_ALL}, {take_picked()}",
)


def next_band(queue: str, tenant: str, priority: str) -> str:
    """Return the query of the first band of a queue after (tenant, priority), all SQL: 15 us, by the index alone.

    A band is found whatever it has: also if no job of it is due. The comparison of rows begins the scan at its place.
    """
    return f"""
        SELECT l.tenant, l.priority FROM live l
        WHERE {OF_QUEUE.format(queue=queue)} AND (l.tenant, l.priority) > ({tenant}, {priority})
        ORDER BY l.tenant, l.priority LIMIT 1
    """


# $2 and $3 are the band after which it begins.
WAITING_BANDS = Statement(
    "waiting_bands",
    "text, int, smallint, bigint",
    f"""
    WITH RECURSIVE bands AS (
        ({next_band("$1", "$2", "$3")})
        UNION ALL
        SELECT next.tenant, next.priority FROM bands
        CROSS JOIN LATERAL ({next_band("$1", "bands.tenant", "bands.priority")}) next)
    SELECT (now() - {MARK_SLACK})::text, band.tenant, band.priority FROM (VALUES (1)) AS single(n)
    LEFT JOIN (SELECT tenant, priority FROM bands LIMIT $4) band ON true
    """,
)

# 1 us for each job that came or became due since $3. The last column is true if these were more than $4: then bands may
# be missing.
NEW_BANDS = Statement(
    "new_bands",
    "bigint, text, timestamptz, bigint",
    f"""
    WITH come AS MATERIALIZED (
        SELECT job.tenant, p.priority
        FROM generate_series(0, 9) AS p(priority)
        CROSS JOIN LATERAL (
            SELECT l.tenant FROM live l
            WHERE l.queue = $2 AND l.priority = p.priority AND l.claimable_at > $3
              AND {UNCLAIMED} AND {DUE} AND {RUNNABLE_HERE}
            LIMIT $4) job
        LIMIT $4)
    SELECT (now() - {MARK_SLACK})::text, band.tenant, band.priority, (SELECT count(*) FROM come) = $4
    FROM (VALUES (1)) AS single(n)
    LEFT JOIN (SELECT DISTINCT tenant, priority FROM come) band ON true
    """,
)

# Only tenants that are not as all others. One that was suspended has jobs below the marks. $2: the quota of running
# jobs of tenants that have none of their own; 0: no limit.
READ_TENANTS = Statement(
    "read_tenants",
    "int, bigint",
    """
    SELECT (SELECT count(*) FROM (SELECT FROM tenants LIMIT 2) two) > 1,
           (SELECT extract(epoch FROM clock_timestamp() - at)::float8 FROM usage_counts WHERE what = 'jobs'),
           t.id, t.weight::float8, t.state = 'SUSPENDED', t.max_running_jobs,
           coalesce((SELECT u.running FROM tenant_usage u WHERE u.tenant = t.id), 0)
    FROM (VALUES (1)) AS single(n)
    LEFT JOIN (
        SELECT id, weight, state, max_running_jobs FROM tenants
        WHERE weight <> 1 OR state = 'SUSPENDED' OR max_running_jobs IS NOT NULL
           OR ($2 > 0 AND (SELECT u.running FROM tenant_usage u WHERE u.tenant = id) > 0)
        LIMIT $1) t ON true
    """,
)
COUNT_PROCESSES = Statement("count_processes", "boolean", "SELECT count(*) FROM workers WHERE ended_at IS NULL AND $1")

READ_INTERVAL_S = 1.0
MAX_COUNT_AGE_S = 30.0  # an older count of running jobs is not used: no controller leads, or none has counted yet
MAX_TENANTS = 10_000  # that are suspended, or have a weight or a quota of running jobs of their own


class Tenants:
    """The tenants as one worker process knows them: at most a second old at each claim."""

    def __init__(self, default_max_running_jobs: int = 0) -> None:
        """`default_max_running_jobs`: of tenants that have no such quota of their own; 0: no limit."""
        self.several = False  #: False: all jobs are the only tenant's
        self.suspended: frozenset[int] = frozenset()  #: their jobs are not claimed
        self.weights: dict[int, float] = {}  #: of the tenants whose weight is not 1
        self.has_running_quotas = False  #: a quota of running jobs is known, and how many run
        self._default = default_max_running_jobs
        self._limits: dict[int, int] = {}
        self._running: dict[int, RunningJobs] = {}
        self._unsettled: set[int] = set()
        self._processes = 1
        self._read_at = float("-inf")

    def refresh(self, connection: "WorkerConnection") -> None:
        """Read them again if that was a second ago."""
        now = time.monotonic()
        if now - self._read_at < READ_INTERVAL_S:
            return
        rows = connection.run(READ_TENANTS, (MAX_TENANTS, self._default))
        self._read_at = now
        self.several, age_s = rows[0][:2]
        rows = [row[2:] for row in rows if row[2] is not None]
        self.suspended = frozenset(tenant for tenant, _, is_suspended, _, _ in rows if is_suspended)
        self.weights.clear()  # the shares of all queues hold this dictionary
        self.weights.update((tenant, weight) for tenant, weight, _, _, _ in rows)
        self._limits = {tenant: limit for tenant, _, _, limit, _ in rows if limit is not None}
        self.has_running_quotas = bool(self._limits or self._default) and (age_s or MAX_COUNT_AGE_S) < MAX_COUNT_AGE_S
        if self.has_running_quotas:
            self._processes = connection.run(COUNT_PROCESSES, (True,))[0][0]
            self._set_running({tenant: running for tenant, _, _, _, running in rows}, now - age_s)
        else:
            self.forget_running()

    def _set_running(self, counted: Mapping[int, int], at: float) -> None:
        """Replace what was counted; forget the changes that the count has seen."""
        for tenant in counted.keys() | self._running.keys():
            running = self._running.setdefault(tenant, RunningJobs())
            running.counted = counted.get(tenant, 0)
            running.forget_before(at)

    @property
    def are_claimed_by_line(self) -> bool:
        """True if some jobs of a queue may not be claimed now, so that each claim must be by line."""
        return self.has_running_quotas or bool(self.suspended)

    def may_run(self, tenant: int) -> bool:
        """Return False if no job of a tenant may be claimed now, although its jobs stay in their lines."""
        return tenant not in self.suspended and self.places(tenant) != 0

    def places(self, tenant: int) -> int | None:
        """Return how many more jobs of a tenant this process may claim; None: its quota is no limit."""
        limit = self._limits.get(tenant, self._default or None) if self.has_running_quotas else None
        return None if limit is None else self._running_of(tenant).places(limit, self._processes)

    def claimed(self, tenant: int, jobs: int) -> None:
        """Count claimed jobs as running."""
        if self.has_running_quotas:
            self._running_of(tenant).claimed(time.monotonic(), jobs)

    def ended(self, tenant: int) -> None:
        """Count a claimed job as ended. Its settle follows."""
        if self.has_running_quotas:
            self._running_of(tenant).ended()
            self._unsettled.add(tenant)

    def settled(self) -> None:
        """Take note that all jobs that have ended are settled."""
        now = time.monotonic()
        while self._unsettled:
            self._running_of(self._unsettled.pop()).settled(now)

    def forget_running(self) -> None:
        """Forget which jobs this process has: it has none any more."""
        self._running.clear()
        self._unsettled.clear()

    def _running_of(self, tenant: int) -> RunningJobs:
        running = self._running.get(tenant)
        if running is None:
            running = self._running[tenant] = RunningJobs()
        return running
