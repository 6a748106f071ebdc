"""The policies that hold for an unfinished job, and what is left of their limits, for its explanation."""

from typing import Any
from uuid import UUID

import asyncpg

from common.domain.queues import ALL_TENANTS
from common.store.connection.caller import for_caller
from common.store.jobs.limits.policy_claims import TOKENS

# A slot that a lost worker has is free; it is rare, and counted as taken until it is used again.
_HOLDING = f"""
SELECT p.tenant = {ALL_TENANTS} AS of_operators, p.paused_at, p.concurrency,
       (SELECT count(s.worker) FROM queue_slots s
        WHERE s.queue = p.queue AND s.tenant = p.tenant AND s.n <= p.concurrency) AS taken, p.rate,
       CASE WHEN p.rate IS NOT NULL AND {TOKENS} < 1
            THEN clock_timestamp() + (1 - {TOKENS}) / p.rate * interval '1 s' END AS next_token_at,
       l.claimable_at = 'infinity' AS parked, j.concurrency_key, p.key_concurrency, p.key_rate,
       (SELECT count(*) FROM live h
        WHERE h.id = ANY ((SELECT k.ids FROM concurrency_keys k
                           WHERE k.tenant = l.tenant AND k.queue = l.queue AND k.key = j.concurrency_key)::uuid[])
          AND h.tenant = l.tenant AND h.worker IS NOT NULL) AS holders
FROM live l JOIN jobs j ON j.id = l.id AND j.tenant = l.tenant
JOIN queue_policies p ON p.queue = l.queue AND p.tenant IN (l.tenant, {ALL_TENANTS})
WHERE l.id = $2 AND l.tenant = $3 AND p.in_force
"""
_FOR_CALLER = for_caller(_HOLDING, "$1")


async def policies_of_job(connection: asyncpg.Connection, tenant: int, job_id: UUID) -> list[dict[str, Any]]:
    """Return the policies in force for a tenant's unfinished job."""
    rows = await connection.fetch(_FOR_CALLER, [tenant, ALL_TENANTS], job_id, tenant)
    return [dict(row) for row in rows]
