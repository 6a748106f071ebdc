"""Whether a job's input is still there: that of a finished job may be removed while its result stays."""

from uuid import UUID

import asyncpg

# Of the job $1: the one that it was submitted with, or one that a retry brought.
THERE = """(EXISTS (SELECT FROM jobs WHERE id = $1 AND input IS NOT NULL) OR EXISTS (SELECT FROM reruns WHERE id = $1 AND input IS NOT NULL))"""


async def there(connection: asyncpg.Connection, job_id: UUID) -> bool:
    """Return whether a job has an input.

    Asked while the job's row is locked (FOR NO KEY UPDATE), in a statement of its own after that, the answer holds until the commit:
    who removes inputs takes the same lock, and leaves live jobs alone.
    """
    return bool(await connection.fetchval(f"SELECT {THERE}", job_id))
