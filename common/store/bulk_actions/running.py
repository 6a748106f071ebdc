"""The bulk actions of a tenant that change jobs now, for its overview."""

from typing import Any

import asyncpg

from common.store.connection.caller import for_caller

MAX_RUNNING = 20  #: that are read, the newest ones
_RUNNING = for_caller(
    f"""
SELECT id::text AS bulk_action_id, kind AS action, phase, count, count_is_exact, matched, done, undone,
       not_undone::text AS not_undone, jobs_per_second
FROM bulk_actions WHERE tenant = $1 AND phase IN ('RUNNING', 'UNDOING') ORDER BY id DESC LIMIT {MAX_RUNNING}
""",
    "ARRAY[$1::int]",
)


async def running(connection: asyncpg.Connection, tenant: int) -> list[dict[str, Any]]:
    """Return a tenant's bulk actions in the phases RUNNING and UNDOING, the newest first, at most MAX_RUNNING."""
    return [dict(row) for row in await connection.fetch(_RUNNING, tenant)]
