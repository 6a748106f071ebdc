"""How the queues are, read at most once a second however many ask."""

import asyncio
import time
from functools import partial

from api.schemas import QueueView, Rates, Stats
from common.settings import Settings
from common.store import stats
from common.store.pool import Pool
from common.store.stats import QueueStats, finished_s
from common.telemetry import logs

FRESH_S = 1.0


class Queues:
    """The last answer, shared by all who ask while it is fresh or being read."""

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self._settings = settings
        self._pool = pool
        self._reading: asyncio.Task[Stats] | None = None
        self._until = 0.0

    async def read(self) -> Stats:
        """Return it. Raises StoreUnavailable."""
        if self._reading is None or (self._reading.done() and time.monotonic() >= self._until):
            self._until = 0.0
            self._reading = asyncio.create_task(self._ask())
        return await asyncio.shield(self._reading)  # who leaves does not end it for the others

    async def _ask(self) -> Stats:
        logs.request_id.set(b"")  # begun by one request, it serves all
        now = time.time()
        found = await self._pool.run_sync(partial(stats.read, cap=self._settings.gauge_cap_jobs, unix_ms=int(now * 1000)))
        self._until = time.monotonic() + FRESH_S
        return Stats(queues=[_view(one, now) for one in found])


def _view(one: QueueStats, now: float) -> QueueView:
    (good1, bad1), (good5, bad5), (good15, bad15) = (finished_s(one.finished, minutes, now) for minutes in (1, 5, 15))
    return QueueView(
        queue=one.queue,
        queued=one.queued,
        running=one.running,
        oldest_due_seconds=one.oldest_due_s,
        workers_alive=one.workers_alive,
        accepted_per_second=one.arrived_s,
        succeeded_per_second=Rates(last_minute=good1, last_5_minutes=good5, last_15_minutes=good15),
        failed_per_second=Rates(last_minute=bad1, last_5_minutes=bad5, last_15_minutes=bad15),
    )
