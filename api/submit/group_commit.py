"""Group commit: submissions that arrive while a commit is under way go into the next one. No timer, no wait when idle."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import asyncpg

from api.telemetry.metrics import Meters
from common import failpoints
from common.domain.errors import Overloaded, StoreUnavailable
from common.domain.job import NewJob
from common.settings import Settings
from common.store.connection.asyncpg_pool import AWAY, Pool
from common.store.jobs import insert, keyed_insert
from common.store.jobs.keyed_insert import Key, Stored
from common.store.schema import partitions
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("api")
FIRST_PAUSE_S = 0.02  # before the second try of a commit; doubles
MOST_PAUSE_S = 0.5

_Waiting = tuple[NewJob, "asyncio.Future[None]", float]  # and when it came


class Intake:
    """Stores submissions, then says in which queues there is work."""

    def __init__(self, settings: Settings, pool: Pool, stored: Callable[[str, int], None], meters: Meters) -> None:
        """`stored(queue, jobs)` is called after each commit, once a queue."""
        self._settings = settings
        self._pool = pool
        self._stored = stored
        self._meters = meters
        self._waiting: deque[_Waiting] = deque()
        self._flusher: asyncio.Task[None] | None = None

    async def submit(self, job: NewJob) -> None:
        """Return once the job's commit has stood. Raises Overloaded or StoreUnavailable; then nothing was stored."""
        if len(self._waiting) >= self._settings.max_waiting_jobs:
            raise Overloaded
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((job, done, time.perf_counter()))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def submit_all(self, jobs: Sequence[NewJob]) -> None:
        """Store the jobs in a transaction of their own, all or none, beside the single ones. Raises StoreUnavailable."""
        await self._store(jobs)
        self._tell(jobs)

    async def submit_once(self, jobs: Sequence[NewJob], key: Key | None) -> Stored:
        """Store jobs that have unique keys, or came under an idempotency key, in a transaction of their own, all or none.

        Raises KeyReused, UniqueConflict or StoreUnavailable; then nothing was stored.
        """
        stored = await self._repeat(lambda connection, within_s: keyed_insert.insert_once(connection, jobs, key, within_s))
        if stored.new:
            self._tell(stored.new)
        return stored

    async def _flush(self) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._settings.flush_jobs))]
                await self._commit(taken)
                await asyncio.sleep(0)  # what has been received meanwhile goes along: an eighth fewer commits
        finally:
            self._flusher = None

    async def _commit(self, taken: list[_Waiting]) -> None:
        jobs = [job for job, _, _ in taken]
        began = time.perf_counter()
        self._meters.commit_jobs.observe(len(jobs))
        self._meters.commit_wait.observe(began - taken[0][2])  # of the one that waited longest
        try:
            await self._store(jobs)
        except StoreUnavailable as error:
            # Who came meanwhile has waited for the same database: nobody waits longer than one time limit.
            _settle([*taken, *self._waiting], error)
            self._waiting.clear()
        except Exception as error:
            log.exception("submissions_refused", count=len(jobs))
            if len(taken) == 1:
                _settle(taken, error)
            else:  # one bad row must not take its neighbours down
                for one in taken:
                    await self._commit([one])
        else:
            _settle(taken, None)
            self._tell(jobs)
        finally:
            self._meters.commit_duration.observe(time.perf_counter() - began)

    def _tell(self, jobs: Sequence[NewJob]) -> None:
        self._meters.accepted(jobs)
        counts: dict[str, int] = {}
        for job in jobs:
            counts[job.queue] = counts.get(job.queue, 0) + 1
        for queue, count in counts.items():
            self._stored(queue, count)

    async def _store(self, jobs: Sequence[NewJob]) -> None:
        """Insert jobs whose ids are fixed."""
        await self._repeat(lambda connection, within_s: insert.insert_jobs(connection, jobs, within_s))

    async def _repeat(self, work: Callable[[asyncpg.Connection, float | None], Awaitable[T]]) -> T:
        """Insert, over and over until the time limit: it must be safe to repeat, for the answer of a commit may be lost."""
        pause = FIRST_PAUSE_S
        limit_s = self._settings.database_timeout_seconds
        end = asyncio.get_running_loop().time() + limit_s
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        async with self._pool.driver() as connection:
                            left_s = end - asyncio.get_running_loop().time()
                            if left_s < limit_s / 10:  # too late to be sure that the server gives up before the client is answered
                                raise StoreUnavailable
                            done = await work(connection, None if left_s > self._pool.statement_s else left_s * 0.8)
                        failpoints.reach("submit.after_commit")
                        return done
                    except asyncpg.CheckViolationError as error:
                        if error.constraint_name is not None:  # a constraint of the table; of a missing partition it has no name
                            raise
                        log.warning("partition_missing", reason=str(error))
                        await self._pool.run_sync(partial(partitions.make, days=self._settings.partition_days, ahead=self._settings.partitions_ahead))
                    except AWAY as error:
                        log.warning("database_away", reason=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MOST_PAUSE_S)
        except TimeoutError as error:
            raise StoreUnavailable from error


def _settle(waiting: Sequence[_Waiting], error: Exception | None) -> None:
    for _, done, _ in waiting:
        if done.done():  # its client has gone
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
