"""Lines: the waiting jobs of one tenant in one queue, each in the order of its priorities, and the claim by line.

`live.line` is a number (common/store/tenancy/line_numbers.py), by which `live_line` finds each line as a range.
"""

import time
from typing import TYPE_CHECKING

from common.store.connection.statement import Statement
from common.store.jobs.claims import DUE, MARK_SLACK, RUNNABLE_HERE, SETTLING, TAKE_PICKED, UNCLAIMED
from common.store.tenancy.line_numbers import LINES_OF, OF_QUEUE

if TYPE_CHECKING:  # the API does not import psycopg2
    from common.store.connection.psycopg2_session import WorkerConnection

OTHERS = "0"  #: no tenant's number: the published marks of all lines that have none of their own
HIGHEST_TENANT = 2_147_483_647
_LINES = LINES_OF.format(queue="$8")

# A turn is a tenant with some bands, which are its priorities; each band is read from its own mark on. The first turns
# leave to the next ones what they do not take.
_PICK_BY_LINE = f"""
pick AS MATERIALIZED (
    SELECT due.id
    FROM ROWS FROM (unnest($9), unnest($10), unnest($11), unnest($12)) AS turn(tenant, first_band, last_band, jobs)
    CROSS JOIN LATERAL (
        SELECT job.id
        FROM generate_series(turn.first_band, turn.last_band) AS band(n)
        CROSS JOIN LATERAL (
            SELECT l.id FROM live l
            WHERE l.line = {_LINES} | turn.tenant AND l.priority = ($13)[band.n]
              AND (l.claimable_at, l.id) > (($14)[band.n], ($15)[band.n])
              AND {OF_QUEUE.format(queue="$8")} AND {UNCLAIMED} AND {DUE} AND {RUNNABLE_HERE}
            ORDER BY l.claimable_at, l.id LIMIT turn.jobs FOR UPDATE SKIP LOCKED) job
        LIMIT turn.jobs) due
    LIMIT $16)
"""

SETTLE_AND_CLAIM_BY_LINE = Statement(
    "settle_and_claim_by_line",
    "bigint, uuid[], smallint[], json, bigint[], float8, float8, text, bigint[], int[], int[], bigint[], smallint[], "
    "timestamptz[], uuid[], bigint",
    f"WITH {SETTLING}, {_PICK_BY_LINE}, {TAKE_PICKED}",
)


def next_band(queue: str, line: str, priority: str) -> str:
    """Return the query of the first band of a queue after (line, priority), all SQL: 15 us, by the index alone.

    A band is found whatever it has: also if no job of it is due. The comparison of rows begins the scan at its place.
    """
    return f"""
        SELECT l.line, l.priority FROM live l
        WHERE (l.line, l.priority) > ({line}, {priority})
          AND l.line <= {LINES_OF.format(queue=queue)} | {HIGHEST_TENANT}
        ORDER BY l.line, l.priority LIMIT 1
    """


# $2 and $3 are the band after which it begins.
WAITING_BANDS = Statement(
    "waiting_bands",
    "text, bigint, smallint, bigint",
    f"""
    WITH RECURSIVE bands AS (
        ({next_band("$1", f"{LINES_OF.format(queue='$1')} | $2", "$3")})
        UNION ALL
        SELECT next.line, next.priority FROM bands
        CROSS JOIN LATERAL ({next_band("$1", "bands.line", "bands.priority")}) next)
    SELECT (now() - {MARK_SLACK})::text, band.tenant, band.priority FROM (VALUES (1)) AS single(n)
    LEFT JOIN (SELECT (line & 4294967295)::integer AS tenant, priority FROM bands LIMIT $4) band ON true
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

# Only tenants that are not as all others. One that was suspended has jobs below the marks.
READ_TENANTS = Statement(
    "read_tenants",
    "int",
    """
    SELECT (SELECT count(*) FROM (SELECT FROM tenants LIMIT 2) two) > 1, t.id, t.weight::float8, t.state = 'SUSPENDED'
    FROM (VALUES (1)) AS single(n)
    LEFT JOIN (SELECT id, weight, state FROM tenants WHERE weight <> 1 OR state = 'SUSPENDED' LIMIT $1) t ON true
    """,
)

READ_INTERVAL_S = 1.0
MAX_TENANTS = 10_000  # that are suspended, or have a weight of their own


class Tenants:
    """The tenants as one worker process knows them: at most a second old at each claim."""

    def __init__(self) -> None:
        self.several = False  #: False: all jobs are the only tenant's
        self.suspended: frozenset[int] = frozenset()  #: their jobs are not claimed
        self.weights: dict[int, float] = {}  #: of the tenants whose weight is not 1
        self._read_at = float("-inf")

    def refresh(self, connection: "WorkerConnection") -> None:
        """Read them again if that was a second ago."""
        now = time.monotonic()
        if now - self._read_at < READ_INTERVAL_S:
            return
        rows = connection.run(READ_TENANTS, (MAX_TENANTS,))
        self._read_at = now
        self.several = rows[0][0]
        rows = [row for row in rows if row[1] is not None]
        self.suspended = frozenset(tenant for _, tenant, _, is_suspended in rows if is_suspended)
        self.weights.clear()  # the shares of all queues hold this dictionary
        self.weights.update((tenant, weight) for _, tenant, weight, _ in rows)

    def may_run(self, tenant: int) -> bool:
        """Return False if no job of a tenant may be claimed now, although its jobs stay in their lines."""
        return tenant not in self.suspended
