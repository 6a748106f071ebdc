"""Reads batches with the counts of their jobs. Counts are kept for twenty times as long as they took."""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from common.domain.errors import BatchNotFound
from common.store.batches import reads
from common.store.batches.reads import Record
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.telemetry import logs

KEPT_FOR = 20  # times what the count took
MIN_COUNT_S = 0.005  # a shorter count is not kept
MIN_JOBS = 10_000  # nor one of fewer jobs, which takes milliseconds
MAX_KEPT = 1_000  # batches


@dataclass(slots=True)
class _Counted:
    row: Record
    until: float  #: monotonic seconds


class BatchReader:
    """Reads batches of tenants. Requests at the same time for one batch share a statement."""

    def __init__(self, pool: DatabasePool) -> None:
        self._pool = pool
        self._kept: dict[tuple[int, UUID], _Counted] = {}
        self._turn = asyncio.Lock()
        self._reading: dict[tuple[int, UUID], asyncio.Task[Record | None]] = {}

    async def read(self, tenant: int, batch_id: UUID) -> Record:
        """Return a tenant's batch with counts. Raises BatchNotFound or StoreUnavailable."""
        key = tenant, batch_id
        if (kept := self._kept.get(key)) is not None:
            if time.monotonic() < kept.until:
                return kept.row
            del self._kept[key]
        if (reading := self._reading.get(key)) is None:
            reading = self._reading[key] = asyncio.create_task(self._read(tenant, batch_id))
        row = await asyncio.shield(reading)  # a client that leaves does not cancel the others' read
        if row is None:
            raise BatchNotFound
        return row

    async def read_in_turn(self, tenant: int, batch_id: UUID) -> Record:
        """Read for a stream: one batch at a time. Raises as `read`."""
        async with self._turn:
            return await self.read(tenant, batch_id)

    def forget(self, tenant: int, batch_id: UUID) -> None:
        """Forget the counts of a batch that was changed, and leave a read in progress to those that wait for it."""
        self._kept.pop((tenant, batch_id), None)
        self._reading.pop((tenant, batch_id), None)

    async def _read(self, tenant: int, batch_id: UUID) -> Record | None:
        logs.request_id.set(b"")  # one request starts the read, but it may serve several
        key, began = (tenant, batch_id), time.monotonic()
        task = asyncio.current_task()
        try:
            row = await self._pool.run(lambda connection: reads.read(connection, tenant, batch_id), Lane.BY_ID)
            ended, is_newest = time.monotonic(), self._reading.get(key) is task
            is_long = ended - began >= MIN_COUNT_S
            if row is not None and is_newest and is_long and row["jobs"] >= MIN_JOBS:
                self._kept[key] = _Counted(row, ended + KEPT_FOR * (ended - began))
                if len(self._kept) > MAX_KEPT:
                    del self._kept[next(iter(self._kept))]
            return row
        finally:
            if self._reading.get(key) is task:
                del self._reading[key]
