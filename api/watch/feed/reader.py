"""Reads the change feed for all clients of a process: it numbers new changes, and keeps the newest ones in memory.

While clients wait, one task asks once in JOBPROC_WAIT_POLL_SECONDS for the changes of each of their tenants. Each
client filters them for itself.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from api.watch.shared.poller import Poller
from common.domain.errors import FeedExpired, StoreUnavailable
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.feed import numbering, reads
from common.store.feed.reads import FeedChange, FeedChanges
from common.telemetry import logs

log = logs.get("api")
KEPT_CHANGES = 2_000  # of a tenant in memory, about a megabyte
MAX_PAGES = 20  # that one request numbers
MAX_READS = 2  # at once, of clients that are further behind


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """The changes that a client asks for. None: any."""

    queue: str | None
    operation: str | None
    tag: str | None

    def matches(self, change: FeedChange) -> bool:
        """Return True if the client asks for a change."""
        return (
            self.queue in (None, change.queue)
            and self.operation in (None, change.operation)
            and (self.tag is None or self.tag in change.tags)
        )


@dataclass(slots=True)
class _Tail:
    """The newest changes of a tenant, and its clients."""

    newest: int = 0
    after: int = 0  #: the number before the first change that is kept
    changes: list[FeedChange] = field(default_factory=list)
    is_read: bool = False
    waiting: set[asyncio.Event] = field(default_factory=set)
    numbering: asyncio.Lock = field(default_factory=asyncio.Lock)
    numbered_from_s: float = 0.0  #: when the last numbering began
    told: int = 0  #: the last number that its clients were woken for

    @property
    def read_to(self) -> int:
        """The number of the last change that is kept."""
        return self.after + len(self.changes)

    def has(self, after: int) -> bool:
        """Return True if it has the next change behind a number, or knows that there is none."""
        return self.is_read and self.after <= after and (after < self.read_to or after == self.read_to == self.newest)

    def shorten(self) -> None:
        """Forget the oldest changes that are too many."""
        surplus = len(self.changes) - KEPT_CHANGES
        if surplus > 0:
            del self.changes[:surplus]
            self.after += surplus


class FeedReader:
    """The change feeds of tenants, for requests and waiting clients."""

    def __init__(self, settings: Settings, pool: DatabasePool) -> None:
        self._pool = pool
        self._tails: dict[int, _Tail] = {}
        self._reads = asyncio.Semaphore(MAX_READS)
        self._poller = Poller(settings.wait_poll_seconds, self._poll_all)
        self.is_draining = False  #: the process shuts down: no client waits any longer

    async def number(self, tenant: int) -> int:
        """Number what has been committed before the call; return the last number. Concurrent calls share it.

        Raises StoreUnavailable.
        """
        tail, asked_at_s = self._tail(tenant), time.monotonic()
        async with tail.numbering:
            if tail.numbered_from_s <= asked_at_s:
                began_at_s = time.monotonic()
                for _ in range(MAX_PAGES):
                    last, count = await self._pool.run(
                        lambda connection: numbering.number(connection, tenant), Lane.BY_ID
                    )
                    if count == 0:
                        break
                tail.newest, tail.numbered_from_s = last, began_at_s
        self._forget_unused(tenant)
        return tail.newest

    async def changes(self, tenant: int, after: int | None) -> FeedChanges:
        """Return numbered changes behind a number; None: from the oldest. Raises FeedExpired or StoreUnavailable."""
        tail = self._tails.get(tenant)
        if tail is not None and after is not None and tail.has(after):
            return FeedChanges(after, tail.newest, tail.changes[after - tail.after :])
        async with self._reads:
            return await self._pool.run(lambda connection: reads.read(connection, tenant, after), Lane.BY_ID)

    @contextmanager
    def wait(self, tenant: int) -> Iterator[asyncio.Event]:
        """Keep a tenant's newest changes in memory during the block; its event is set when there may be more."""
        event, tail = asyncio.Event(), self._tail(tenant)
        tail.waiting.add(event)
        if self.is_draining:
            event.set()
        self._poller.start()
        try:
            yield event
        finally:
            tail.waiting.discard(event)
            self._forget_unused(tenant)

    def _tail(self, tenant: int) -> _Tail:
        return self._tails.setdefault(tenant, _Tail())

    def _forget_unused(self, tenant: int) -> None:
        tail = self._tails.get(tenant)
        if tail is not None and not tail.waiting and not tail.numbering.locked():
            del self._tails[tenant]

    async def _poll_all(self) -> bool:
        tenants = [tenant for tenant, tail in self._tails.items() if tail.waiting]
        for tenant in tenants:
            await self._poll(tenant)
        return bool(tenants)

    async def _poll(self, tenant: int) -> None:
        tail = self._tails.get(tenant)
        if tail is None:
            return
        try:
            await self._catch_up(tenant, tail)
        except StoreUnavailable:  # the next poll asks again
            return
        except FeedExpired:  # an operator has restored the database, or deleted changes
            tail.changes, tail.is_read, tail.told = [], False, 0
        except Exception:
            log.exception("wait_poll_failed", count=len(tail.waiting))
            return
        if tail.newest != tail.told:
            tail.told = tail.newest
            for event in tail.waiting:
                event.set()

    async def _catch_up(self, tenant: int, tail: _Tail) -> None:
        """Number, and read the new changes. It begins with what comes next: the clients have read what was before."""
        newest = await self.number(tenant)
        if not tail.is_read:
            tail.after, tail.is_read = newest, True
        while tail.read_to < newest:
            read = partial(reads.read, tenant=tenant, after=tail.read_to)
            tail.changes += (await self._pool.run(read, Lane.BY_ID)).changes
            tail.shorten()

    def drain(self) -> None:
        """Wake every waiting client, so it is answered before the process ends."""
        self.is_draining = True
        for tail in self._tails.values():
            for event in tail.waiting:
                event.set()

    async def close(self) -> None:
        """Stop polling."""
        await self._poller.close()
