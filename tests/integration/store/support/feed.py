"""The change feed as the tests of the store read it."""

from integration.store.support.storage import Storage

from common.domain.queues import ALL_TENANTS
from common.store.feed import numbering, reads
from common.store.feed.reads import Change, FeedChanges
from common.store.queues import policies


def follow(storage: Storage, *, on: bool = True, tenant: int = 1, queue: str = "default") -> bool:
    """Switch the feed of a queue on or off; return True if that changed it."""
    with storage.engine.begin() as connection:
        return policies.change(connection, tenant, queue, {"events": on}, "test")


def number(storage: Storage, tenant: int = 1) -> int:
    """Number all changes of a tenant as the API does; return the last number."""

    async def work(connection):  # type: ignore[no-untyped-def]  # of asyncpg
        while (found := await numbering.number(connection, tenant))[1]:
            pass
        return found[0]

    return storage.api(work)


def read(storage: Storage, after: int | None = None, tenant: int = 1) -> FeedChanges:
    """Number, and read the changes behind a number."""
    number(storage, tenant)
    return storage.api(lambda connection: reads.read(connection, tenant, after))


def states(changes: FeedChanges, job_id: str) -> list[str]:
    """Return the states of a job in the feed."""
    return [change["status"] for _, change in changes.changes if change["job_id"] == job_id]


__all__ = ["ALL_TENANTS", "Change", "follow", "number", "read", "states"]
