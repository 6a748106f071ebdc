"""The bytes that tenants have stored through this process, written once a minute in one statement for all of them."""

import asyncio
import time
from collections.abc import Callable

import asyncpg

from api.limits.quotas.accepted import Accepted
from common.domain.errors import StoreUnavailable
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.tenancy import usage
from common.telemetry import logs

log = logs.get("api")
STORE_INTERVAL_S = 60.0
HOUR_S = 3_600


class StoredBytes:
    """Adds bytes up by tenant and hour. A process that is killed loses those of its last minute."""

    def __init__(
        self,
        pool: DatabasePool,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: monotonic seconds. `wall_clock`: Unix seconds."""
        self._pool = pool
        self._clock, self._wall_clock = clock, wall_clock
        self._unstored: dict[tuple[int, int], int] = {}  # by tenant and hour since 1970
        #: by tenant: `pending` is what is not stored; the rest is, but the controller may not have added it up yet
        self._by_tenant: dict[int, Accepted] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._storing: asyncio.Task[None] | None = None

    def add(self, tenant: int, count: int) -> None:
        """Add bytes of jobs that were committed."""
        key = tenant, int(self._wall_clock()) // HOUR_S
        self._unstored[key] = self._unstored.get(key, 0) + count
        accepted = self._by_tenant.get(tenant)
        if accepted is None:
            accepted = self._by_tenant[tenant] = Accepted()
        accepted.pending += count
        self._start_timer()

    def since(self, tenant: int, counted_at: float) -> int:
        """Return the bytes of a tenant that a count at a time of the clock has not seen."""
        accepted = self._by_tenant.get(tenant)
        if accepted is None:
            return 0
        accepted.forget_before(counted_at)
        return accepted.pending + accepted.total

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STORE_INTERVAL_S, self._start)

    def _start(self) -> None:
        logs.request_id.set(b"")  # one request starts the timer, but it serves all
        self._timer = None
        self._storing = asyncio.create_task(self.store())

    async def store(self) -> None:
        """Write what was added since the last time. If the database is away it stays for the next time."""
        bytes_, self._unstored = self._unstored, {}
        if not bytes_:
            return
        try:
            await self._pool.run(lambda connection: usage.add_bytes(connection, bytes_), Lane.BY_ID)
        except (StoreUnavailable, asyncpg.PostgresError) as error:
            log.warning("stored_bytes_unwritten", reason=f"{type(error).__name__}: {error}")
            for key, count in bytes_.items():
                self._unstored[key] = self._unstored.get(key, 0) + count
            self._start_timer()
            return
        now = self._clock()
        for (tenant, _), count in bytes_.items():
            accepted = self._by_tenant[tenant]
            accepted.forget_before(now - 2 * STORE_INTERVAL_S)
            accepted.pending -= count
            accepted.add(now, count)

    async def close(self) -> None:
        """Write what is left."""
        if self._storing is not None:
            await asyncio.gather(self._storing, return_exceptions=True)
        await self.store()
        if self._timer is not None:
            self._timer.cancel()
