"""Group commit: submissions that arrive while a commit is under way go into the next one. No timer, no wait when idle."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import asyncpg

from api.telemetry.metrics import ApiMetrics
from common import failpoints
from common.domain.errors import Overloaded, StoreUnavailable
from common.domain.job import NewJob
from common.settings import Settings
from common.store.connection.asyncpg_pool import CONNECTION_ERRORS, DatabasePool
from common.store.jobs import insert, keyed_insert
from common.store.jobs.keyed_insert import IdempotencyKey, InsertOutcome
from common.store.schema import partitions
from common.telemetry import logs

T = TypeVar("T")
log = logs.get("api")
INITIAL_RETRY_PAUSE_S = 0.02  # before the second try of a commit; doubles
MAX_RETRY_PAUSE_S = 0.5

_Buffered = tuple[NewJob, "asyncio.Future[None]", float]  # and when it came


class GroupCommit:
    """Stores submissions, then says in which queues there is work."""

    def __init__(self, settings: Settings, pool: DatabasePool, on_committed: Callable[[str, int], None], meters: ApiMetrics) -> None:
        """`stored(queue, jobs)` is called after each commit, once a queue."""
        self._settings = settings
        self._pool = pool
        self._on_committed = on_committed
        self._metrics = meters
        self._buffer: deque[_Buffered] = deque()
        self._flusher: asyncio.Task[None] | None = None

    async def submit(self, job: NewJob) -> None:
        """Return once the job's commit has stood. Raises Overloaded or StoreUnavailable; then nothing was stored."""
        if len(self._buffer) >= self._settings.max_waiting_jobs:
            raise Overloaded
        done = asyncio.get_running_loop().create_future()
        self._buffer.append((job, done, time.perf_counter()))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def submit_all(self, jobs: Sequence[NewJob]) -> None:
        """Store the jobs in a transaction of their own, all or none, beside the single ones. Raises StoreUnavailable."""
        await self._insert(jobs)
        self._after_commit(jobs)

    async def submit_once(self, jobs: Sequence[NewJob], key: IdempotencyKey | None) -> InsertOutcome:
        """Store jobs that have unique keys, or came under an idempotency key, in a transaction of their own, all or none.

        Raises KeyReused, UniqueConflict or StoreUnavailable; then nothing was stored.
        """
        stored = await self._retry_until_timeout(lambda connection, within_s: keyed_insert.insert_once(connection, jobs, key, within_s))
        if stored.inserted:
            self._after_commit(stored.inserted)
        return stored

    async def _flush(self) -> None:
        logs.request_id.set(b"")  # begun by one request, it serves all
        try:
            while self._buffer:
                taken = [self._buffer.popleft() for _ in range(min(len(self._buffer), self._settings.flush_jobs))]
                await self._commit(taken)
                await asyncio.sleep(0)  # what has been received meanwhile goes along: an eighth fewer commits
        finally:
            self._flusher = None

    async def _commit(self, taken: list[_Buffered]) -> None:
        jobs = [job for job, _, _ in taken]
        began = time.perf_counter()
        self._metrics.commit_jobs.observe(len(jobs))
        self._metrics.commit_wait.observe(began - taken[0][2])  # of the one that waited longest
        try:
            await self._insert(jobs)
        except StoreUnavailable as error:
            # Who came meanwhile has waited for the same database: nobody waits longer than one time limit.
            _resolve([*taken, *self._buffer], error)
            self._buffer.clear()
        except Exception as error:
            log.exception("submissions_refused", count=len(jobs))
            if len(taken) == 1:
                _resolve(taken, error)
            else:  # one bad row must not take its neighbours down
                for one in taken:
                    await self._commit([one])
        else:
            _resolve(taken, None)
            self._after_commit(jobs)
        finally:
            self._metrics.commit_duration.observe(time.perf_counter() - began)

    def _after_commit(self, jobs: Sequence[NewJob]) -> None:
        self._metrics.count_accepted(jobs)
        counts: dict[str, int] = {}
        for job in jobs:
            counts[job.queue] = counts.get(job.queue, 0) + 1
        for queue, count in counts.items():
            self._on_committed(queue, count)

    async def _insert(self, jobs: Sequence[NewJob]) -> None:
        """Insert jobs whose ids are fixed."""
        await self._retry_until_timeout(lambda connection, within_s: insert.insert_jobs(connection, jobs, within_s))

    async def _retry_until_timeout(self, store: Callable[[asyncpg.Connection, float | None], Awaitable[T]]) -> T:
        """Insert, over and over until the time limit: it must be safe to repeat, for the answer of a commit may be lost."""
        pause = INITIAL_RETRY_PAUSE_S
        limit_s = self._settings.database_timeout_seconds
        end = asyncio.get_running_loop().time() + limit_s
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        async with self._pool.acquire() as connection:
                            left_s = end - asyncio.get_running_loop().time()
                            if left_s < limit_s / 10:  # too late to be sure that the server gives up before the client is answered
                                raise StoreUnavailable
                            done = await store(connection, None if left_s > self._pool.statement_timeout_s else left_s * 0.8)
                        failpoints.reach("submit.after_commit")
                        return done
                    except asyncpg.CheckViolationError as error:
                        if error.constraint_name is not None:  # a constraint of the table; of a missing partition it has no name
                            raise
                        log.warning("partition_missing", reason=str(error))
                        await self._pool.run_sync(partial(partitions.create_missing, days=self._settings.partition_days, ahead=self._settings.partitions_ahead))
                    except CONNECTION_ERRORS as error:
                        log.warning("database_away", reason=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MAX_RETRY_PAUSE_S)
        except TimeoutError as error:
            raise StoreUnavailable from error


def _resolve(waiting: Sequence[_Buffered], error: Exception | None) -> None:
    for _, done, _ in waiting:
        if done.done():  # its client has gone
            continue
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
