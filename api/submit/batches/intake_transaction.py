"""The transaction in which a request of many jobs stores all of them, or none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from common.domain.errors import OutcomeUnknown, StoreUnavailable
from common.store.connection.asyncpg_pool import DatabasePool, is_outage
from common.store.connection.lanes import Lane


@asynccontextmanager
async def intake_transaction(pool: DatabasePool, limit_s: float) -> AsyncIterator[asyncpg.Connection]:
    """Open a transaction for at most `limit_s` seconds; it is committed at the end of the block.

    Raises StoreUnavailable if there is no connection, or OutcomeUnknown if the answer of the database was lost.
    """
    try:
        async with asyncio.timeout(limit_s), pool.acquire(Lane.INTAKE) as connection, connection.transaction():
            yield connection
    except StoreUnavailable:
        raise
    except Exception as error:
        if isinstance(error, TimeoutError) or is_outage(error):
            raise OutcomeUnknown from error
        raise
