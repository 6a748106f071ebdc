"""The change feed as the tests of the store read it."""

from functools import partial
from typing import Any

import asyncpg
import orjson
from integration.store.support.storage import Storage

from common.store.feed import numbering, reads
from common.store.feed.reads import FeedChanges
from common.store.queues import policies


def follow(storage: Storage, *, on: bool = True, tenant: int = 1, queue: str = "default") -> bool:
    """Switch the feed of a queue on or off; return True if that changed it."""
    with storage.engine.begin() as connection:
        return policies.change(connection, tenant, queue, {"events": on}, "test")


def number(storage: Storage, tenant: int = 1) -> int:
    """Number all changes of a tenant as the API does; return the last number."""

    async def work(connection: asyncpg.Connection) -> int:
        while (found := await numbering.number(connection, tenant))[1]:
            pass
        return found[0]

    return storage.api(work)


def read(storage: Storage, after: int | None = None, tenant: int = 1) -> FeedChanges:
    """Number, and read the changes behind a number."""
    number(storage, tenant)
    found = storage.api(lambda connection: reads.read(connection, tenant, after))
    changes = list(found.changes)
    while found.last < found.newest:
        last = found.last
        found = storage.api(partial(reads.read, tenant=tenant, after=last))
        changes += found.changes
    return FeedChanges(after or 0, found.newest, changes)


def states(changes: FeedChanges, job_id: str) -> list[str]:
    """Return the states of a job in the feed."""
    return [change["status"] for change in members(changes) if change["job_id"] == job_id]


def members(changes: FeedChanges) -> list[dict[str, Any]]:
    """Return changes as clients read them."""
    return [orjson.loads(change.text) for change in changes.changes]


def numbers(changes: FeedChanges) -> list[int]:
    return [change.number for change in changes.changes]
