"""Whether a job's input is still there: that of a finished job may be removed while its result stays."""

from uuid import UUID

import asyncpg

_THERE = "SELECT input IS NOT NULL FROM jobs WHERE id = $1"


async def there(connection: asyncpg.Connection, job_id: UUID) -> bool | None:
    """Return whether a job has its input, None for an unknown id.

    For an explicit retry without an input of its own: asked while the job's row is locked (FOR NO KEY UPDATE) and in a statement of
    its own after that, the answer holds until the commit, as who removes inputs takes the same lock and leaves live jobs alone.
    """
    found = await connection.fetchval(_THERE, job_id)
    return None if found is None else bool(found)
