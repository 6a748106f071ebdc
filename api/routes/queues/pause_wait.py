"""The wait of a pause: until no claim is left that began before it."""

import asyncio
import time
from functools import partial

from common.domain.errors import ChangeUnconfirmed
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.queues import begun_transactions

FIRST_LOOK_S, MAX_INTERVAL_S = 0.002, 0.05
#: A transaction that has not become a claim by then is none.
READERS_AFTER_S = 1.0


async def wait_for_claims(pool: DatabasePool, timeout_s: float) -> None:
    """Wait until all transactions have ended that began before the call. Raises ChangeUnconfirmed after `timeout_s`."""
    began_at, interval_s = time.monotonic(), FIRST_LOOK_S
    transactions = await pool.run(begun_transactions.begun, Lane.BY_ID)
    while transactions:
        waited_s = time.monotonic() - began_at
        if waited_s > timeout_s:
            raise ChangeUnconfirmed
        await asyncio.sleep(interval_s)
        interval_s = min(interval_s * 1.5, MAX_INTERVAL_S)
        look = partial(
            begun_transactions.still_open, transactions=transactions, without_readers=waited_s > READERS_AFTER_S
        )
        transactions = await pool.run(look, Lane.BY_ID)
