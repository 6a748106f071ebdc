"""Clients that wait for the ends of batches. One statement a second asks for all of them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from fastapi import Request

from api.watch.batch_reader import BatchReader
from api.watch.shared.poller import Poller, first_of
from api.watch.watchers import Watchers
from common.domain.errors import StoreUnavailable
from common.settings import Settings
from common.store.batches import reads
from common.store.batches.reads import Record
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.telemetry import logs

log = logs.get("api")
MAX_IDS = 500  # batches in one statement
_Key = tuple[int, UUID]


class BatchWatchers:
    """The batches whose end clients of this process wait for, and the task that polls them."""

    def __init__(self, settings: Settings, pool: DatabasePool, reader: BatchReader, watchers: Watchers) -> None:
        """`watchers`: has the slots of waiting clients."""
        self._pool = pool
        self._reader, self._watchers = reader, watchers
        self._waiting: dict[_Key, set[asyncio.Event]] = {}
        self._poller = Poller(settings.wait_poll_seconds, self._poll_all)
        self.is_draining = False  #: the process shuts down: no client waits any longer

    async def when_ended(self, request: Request, tenant: int, row: Record, wait_s: float) -> Record:
        """Return a tenant's batch once it has ended, the time is up, the client leaves or the process drains.

        `row`: the batch as it is; `wait_s`: 0 returns it. Raises TooManyWaitingClients, BatchNotFound or
        StoreUnavailable.
        """
        if not wait_s or reads.has_ended(row):
            return row
        batch_id: UUID = row["id"]
        with self._watchers.slot(request), self._watch(tenant, batch_id) as event, suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await first_of(event, request)
        self._reader.forget(tenant, batch_id)
        return await self._reader.read(tenant, batch_id)

    @contextmanager
    def _watch(self, tenant: int, batch_id: UUID) -> Iterator[asyncio.Event]:
        event, key = asyncio.Event(), (tenant, batch_id)
        if self.is_draining:
            event.set()
        self._waiting.setdefault(key, set()).add(event)
        self._poller.start()
        try:
            yield event
        finally:
            self._waiting[key].discard(event)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _poll_all(self) -> bool:
        keys = list(self._waiting)
        for start in range(0, len(keys), MAX_IDS):
            await self._poll(keys[start : start + MAX_IDS])
        return bool(keys)

    async def _poll(self, keys: list[_Key]) -> None:
        try:
            ended = await self._pool.run(lambda connection: reads.ended(connection, keys), Lane.BY_ID)
        except StoreUnavailable:  # the next poll asks again
            return
        except Exception:
            log.exception("wait_poll_failed", count=len(keys))
            return
        for key in ended:
            for event in self._waiting.get(key, ()):
                event.set()

    def drain(self) -> None:
        """Wake every waiting client, so it is answered before the process ends."""
        self.is_draining = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def close(self) -> None:
        """Stop polling."""
        await self._poller.close()
