"""The list of operations, as the workers have written it down, kept for a while."""

import asyncio
import time

from common.domain.errors import UnknownOperation
from common.domain.operations import OperationSpec
from common.settings import Settings
from common.store import catalogue
from common.store.pool import Pool
from common.telemetry import logs

log = logs.get("api")
UNKNOWN_AGAIN_S = 1.0  # an unknown name makes the list be read again, but not more often than this


class Operations:
    """Knows operations by name."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._keep_s = settings.catalogue_seconds
        self._pool = pool
        self._specs: dict[str, OperationSpec] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def get(self, name: str, field: str = "operation") -> OperationSpec:
        """Return an operation. Raises UnknownOperation, or StoreUnavailable where the list has never been read.

        A known operation is answered at once, from an old list too; a new one is on its way then.
        """
        age = time.monotonic() - self._read_at
        spec = self._specs.get(name)
        if spec is None and age > UNKNOWN_AGAIN_S:
            await asyncio.shield(self._refresh())
            spec = self._specs.get(name)
        elif spec is not None and age > self._keep_s:
            self._refresh().add_done_callback(_look)
        if spec is None:
            raise UnknownOperation(field, sorted(self._specs))
        return spec

    def _refresh(self) -> "asyncio.Task[None]":
        """Return the reading that is under way, or begin one: however many ask, one asks the database."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        return self._reading

    async def _read(self) -> None:
        self._specs = await self._pool.run_sync(catalogue.read)
        self._read_at = time.monotonic()


def _look(reading: "asyncio.Task[None]") -> None:
    """Take note of a failed reading in the background; the next request begins another."""
    if not reading.cancelled() and (error := reading.exception()):
        log.warning("operations_not_read", reason=str(error))
