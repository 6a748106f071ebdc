"""The quotas of tenants and what they use, read anew once a second while jobs are submitted."""

import asyncio
import contextlib
import time
from collections.abc import Callable

import asyncpg

from common.domain.errors import StoreUnavailable
from common.domain.tenancy.quotas import QuotaLimits, TenantUsage
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.tenancy import usage
from common.telemetry import logs

log = logs.get("api")
READ_INTERVAL_S = 1.0
MAX_AGE_S = 3.0  # an older reading is not used if a newer one can be had, such as after an idle time
#: A count of jobs, or of bytes, that is older is not used: no controller leads, or none has counted yet.
MAX_JOBS_AGE_S, MAX_BYTES_AGE_S = 30.0, 300.0


class UsageReader:
    """The last reading of the tenants that have a quota."""

    def __init__(self, settings: Settings, pool: DatabasePool, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: monotonic seconds."""
        self._pool = pool
        self._clock = clock
        self.default = QuotaLimits(
            settings.default_max_waiting_jobs or None,
            settings.default_max_running_jobs or None,
            settings.default_max_jobs_per_minute or None,
            settings.default_max_stored_bytes or None,
        )
        self.tenants: dict[int, tuple[QuotaLimits, TenantUsage]] = {}  #: those with a quota, by number
        self.jobs_counted_at = self.bytes_counted_at = float("-inf")  #: by the clock
        self._read_at = self._tried_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    @property
    def is_due(self) -> bool:
        """True if `refresh` has something to do."""
        return self._clock() - self._tried_at >= READ_INTERVAL_S

    async def refresh(self) -> None:
        """Start a reading; wait for it if the last one is old. If the database is away the last one stands."""
        now = self._clock()
        if self._reading is None or self._reading.done():
            self._tried_at = now
            self._reading = asyncio.create_task(self._read())
        if now - self._read_at >= MAX_AGE_S:
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        logs.request_id.set(b"")  # one request starts the reading, but it serves all
        began_at = self._clock()  # ages count from here: of a slow reading they would hide what was submitted meanwhile
        try:
            reading = await self._pool.run(lambda connection: usage.read(connection, self.default), Lane.BY_ID)
        except (StoreUnavailable, asyncpg.PostgresError) as error:  # such as a schema that is not there yet
            log.warning("quotas_unread", reason=f"{type(error).__name__}: {error}")
            return
        self._read_at = self._clock()
        self.tenants = dict(reading.tenants)
        if reading.jobs_age_s is not None:
            self.jobs_counted_at = began_at - reading.jobs_age_s
        if reading.bytes_age_s is not None:
            self.bytes_counted_at = began_at - reading.bytes_age_s

    async def close(self) -> None:
        """End a reading in progress."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
