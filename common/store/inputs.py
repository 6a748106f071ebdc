"""Whether a job's input is still there: that of a finished job may be removed while its result stays."""

from uuid import UUID

import asyncpg

from common.store.lives import THERE


async def there(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Return whether a job has an input.

    Asked while the job's row is locked (FOR NO KEY UPDATE), in a statement of its own after that, the answer holds until the commit:
    who removes inputs takes the same lock, and leaves live jobs alone.
    """
    return bool(await connection.fetchval(f"SELECT {THERE.format(id='$1')}", job_id))
