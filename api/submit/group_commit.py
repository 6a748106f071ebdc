"""Group commit: submissions that arrive during a commit go into the next one. No timer, and no delay when idle."""

import asyncio
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TypeVar
from uuid import UUID

import asyncpg

from api.telemetry.metrics import ApiMetrics
from common import failpoints
from common.domain.errors import Overloaded, StoreUnavailable
from common.domain.job import NewJob
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool, is_outage
from common.store.connection.lanes import Lane
from common.store.jobs import insert, keyed_insert, running_keys
from common.store.jobs.keyed_insert import BatchWrite, IdempotencyKey, InsertOutcome
from common.store.jobs.limits import concurrency_keys
from common.store.schema import partitions
from common.telemetry import logs
from common.telemetry.refusal_reasons import BUFFERED_BYTES, BUFFERED_SUBMISSIONS

T = TypeVar("T")
log = logs.get("api")
INITIAL_RETRY_PAUSE_S = 0.02  # before the second try of a commit; doubles
MAX_RETRY_PAUSE_S = 0.5

# A job, its committed future, time.perf_counter() at arrival, its bytes, the tenant of its caller.
_Buffered = tuple[NewJob, "asyncio.Future[None]", float, int, int]


class GroupCommit:
    """Stores submissions and reports each commit, so that doorbells can be rung."""

    def __init__(
        self, settings: Settings, pool: DatabasePool, on_committed: Callable[[str, int], None], metrics: ApiMetrics
    ) -> None:
        """`on_committed(queue, jobs)` is called after each commit, once per queue."""
        self._settings = settings
        self._pool = pool
        self._on_committed = on_committed
        self._metrics = metrics
        self._buffer: deque[_Buffered] = deque()
        self._waiting_bytes = 0  #: of all submissions that wait for their commit, buffered or not
        self._flusher: asyncio.Task[None] | None = None

    async def submit(self, job: NewJob, tenant: int) -> None:
        """Store a job of a caller of a tenant with the next group commit; return once it is committed.

        Raises Overloaded if the buffer is full, or StoreUnavailable; then nothing was stored.
        """
        if len(self._buffer) >= self._settings.max_buffered_submissions:
            self._metrics.refusals.count(BUFFERED_SUBMISSIONS)
            raise Overloaded
        size = bytes_of(job)
        self._reserve(size)
        committed = asyncio.get_running_loop().create_future()
        self._buffer.append((job, committed, time.perf_counter(), size, tenant))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await committed

    async def submit_once(
        self, jobs: Sequence[NewJob], key: IdempotencyKey | None, tenant: int, batch: BatchWrite | None = None
    ) -> InsertOutcome:
        """Store a tenant's jobs with unique keys, of a batch, or under an idempotency key, in a transaction.

        All or none. Raises KeyReused, UniqueConflict, Overloaded, StoreUnavailable, or what `batch` raises; then
        nothing was stored.
        """
        with self._waiting(jobs):
            outcome = await self._retry_until_timeout(
                lambda connection, timeout_s: keyed_insert.insert_keyed(
                    connection, jobs, key, timeout_s, tenant=tenant, batch=batch
                )
            )
            if insert.may_be_parked(outcome.inserted):
                await self._wake(tenant, outcome.inserted)
        if outcome.inserted:
            self._after_commit(outcome.inserted)
        return outcome

    def announce(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count jobs that were committed by others, by operation and queue, and ring for them."""
        self._metrics.add_accepted(counts)
        for (_, queue), count in counts.items():
            self._on_committed(queue, count)

    @contextmanager
    def _waiting(self, jobs: Sequence[NewJob]) -> Iterator[None]:
        """Count jobs among the submissions that wait for their commit during the block. Raises Overloaded."""
        size = sum(map(bytes_of, jobs))
        self._reserve(size)
        try:
            yield
        finally:
            self._waiting_bytes -= size

    def _reserve(self, size: int) -> None:
        """Add the bytes of submissions to those that wait. Raises Overloaded if these are too many then."""
        if self._waiting_bytes and self._waiting_bytes + size > self._settings.max_buffered_bytes:
            self._metrics.refusals.count(BUFFERED_BYTES)
            raise Overloaded
        self._waiting_bytes += size

    async def _flush(self) -> None:
        logs.request_id.set(b"")  # started by one request, the flusher serves all
        try:
            while self._buffer:
                await self._commit(self._next_batch())
                # Requests that were received during the commit join the next one: an eighth fewer commits.
                await asyncio.sleep(0)
        finally:
            self._flusher = None

    def _next_batch(self) -> list[_Buffered]:
        """Take the submissions of the next group commit from the buffer: at least one, within the limits."""
        count = min(len(self._buffer), self._settings.group_commit_max_jobs)
        max_bytes = self._settings.group_commit_max_bytes
        if self._waiting_bytes > max_bytes:  # seldom, so most group commits are not added up
            total = 0
            for number, (*_, size, _) in enumerate(islice(self._buffer, count)):
                total += size
                if total > max_bytes:
                    count = max(1, number)
                    break
        return [self._buffer.popleft() for _ in range(count)]

    async def _commit(self, batch: list[_Buffered]) -> None:
        jobs, tenants = [job for job, *_ in batch], tuple({tenant for *_, tenant in batch})
        began = time.perf_counter()
        self._metrics.commit_jobs.observe(len(jobs))
        self._metrics.commit_wait.observe(began - batch[0][2])  # of the submission that waited longest
        try:
            refused = await self._insert_unless_refused(jobs, tenants)
        except StoreUnavailable as error:
            # Buffered submissions waited for the same database. They fail too: none waits longer than one time limit.
            batch += self._buffer
            self._buffer.clear()
            _resolve(batch, error)
        except Exception as error:
            log.exception("submissions_failed", count=len(jobs))
            _resolve(batch, error)
        else:
            _resolve(batch, None, refused)
            self._after_commit([job for job in jobs if job.id not in refused] if refused else jobs)
        finally:
            self._waiting_bytes -= sum(size for *_, size, _ in batch)
            self._metrics.commit_duration.observe(time.perf_counter() - began)

    def _after_commit(self, jobs: Sequence[NewJob]) -> None:
        self._metrics.count_accepted(jobs)
        counts: dict[str, int] = {}
        for job in jobs:
            counts[job.queue] = counts.get(job.queue, 0) + 1
        for queue, count in counts.items():
            self._on_committed(queue, count)

    async def _wake(self, tenant: int, jobs: Sequence[NewJob]) -> None:
        """Wake parked jobs whose keys have become free during their commit. What fails is left to the controller."""
        try:
            async with (
                asyncio.timeout(self._settings.database_timeout_seconds / 10),
                self._pool.acquire(Lane.INTAKE) as connection,
            ):
                if keys := insert.running_keys_of(jobs):
                    await running_keys.wake_after_insert(connection, tenant, keys)
                if limited := insert.concurrency_keys_of(jobs):
                    await concurrency_keys.wake_after_insert(connection, tenant, limited)
        except Exception as error:
            if not (isinstance(error, StoreUnavailable) or is_outage(error)):  # a timeout is an outage
                raise
            log.warning("database_unavailable", reason=f"{type(error).__name__}: {error}")

    async def _insert_unless_refused(
        self, jobs: Sequence[NewJob], tenants: Collection[int]
    ) -> Mapping[UUID, Exception]:
        """Insert jobs, without those that PostgreSQL refuses; return the error of each of these by id."""
        try:
            await self._insert(jobs, tenants)
        except StoreUnavailable:
            raise
        except Exception as error:
            log.exception("submissions_failed", count=len(jobs))
            return {jobs[0].id: error} if len(jobs) == 1 else await self._insert_storable(jobs, tenants)
        return {}

    async def _insert(self, jobs: Sequence[NewJob], tenants: Collection[int]) -> None:
        """Insert jobs of callers of some tenants. Safe to repeat: their ids are fixed."""
        await self._retry_until_timeout(
            lambda connection, timeout_s: insert.insert_jobs(connection, jobs, timeout_s, tenants=tenants)
        )

    async def _insert_storable(self, jobs: Sequence[NewJob], tenants: Collection[int]) -> Mapping[UUID, Exception]:
        """Insert jobs of which at least one is refused: one refused row costs its neighbours one repetition."""
        return await self._retry_until_timeout(
            lambda connection, timeout_s: insert.insert_storable_jobs(connection, jobs, timeout_s, tenants=tenants)
        )

    async def _retry_until_timeout(self, store: Callable[[asyncpg.Connection, float | None], Awaitable[T]]) -> T:
        """Run `store` until it succeeds or the time limit is reached.

        `store` must be safe to repeat: the answer to a commit may be lost. It gets a connection and a statement timeout
        in seconds, None for the server's.
        """
        pause_s = INITIAL_RETRY_PAUSE_S
        limit_s = self._settings.database_timeout_seconds
        end = asyncio.get_running_loop().time() + limit_s
        try:
            async with asyncio.timeout(limit_s):
                while True:
                    try:
                        async with self._pool.acquire(Lane.INTAKE) as connection:
                            left_s = end - asyncio.get_running_loop().time()
                            if left_s < limit_s / 10:
                                # Too late to be sure that the server gives up before the client is answered.
                                raise StoreUnavailable
                            result = await store(
                                connection, None if left_s > self._pool.statement_timeout_s else left_s * 0.8
                            )
                        failpoints.reach("submit.after_commit")
                        return result
                    except asyncpg.CheckViolationError as error:
                        if not insert.is_partition_missing(error):
                            raise
                        log.warning("partition_missing", reason=str(error))
                        await self._pool.run_sync(
                            partial(
                                partitions.create_missing,
                                days=self._settings.partition_days,
                                ahead=self._settings.partitions_ahead,
                            ),
                            Lane.INTAKE,
                        )
                    except Exception as error:
                        if not is_outage(error):
                            raise
                        log.warning("database_unavailable", reason=f"{type(error).__name__}: {error}")
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, MAX_RETRY_PAUSE_S)
        except TimeoutError as error:
            raise StoreUnavailable from error


def bytes_of(job: NewJob) -> int:
    """Return the memory of a job's input and metadata in bytes.

    A text knows its size, so this takes 0.1 us for any length. In UTF-8 a text takes at most twice its memory, an
    ASCII one 49 bytes less.
    """
    options = job.options
    if options is None or options.metadata is None:
        return sys.getsizeof(job.input)
    return sys.getsizeof(job.input) + sys.getsizeof(options.metadata)


def _resolve(
    submissions: Sequence[_Buffered], error: Exception | None, errors: Mapping[UUID, Exception] | None = None
) -> None:
    """Answer submissions: each with its own of `errors`, by job id, otherwise with `error`, None for a commit."""
    for job, committed, *_ in submissions:
        if committed.done():  # the client has disconnected
            continue
        job_error = errors.get(job.id, error) if errors else error
        if job_error is None:
            committed.set_result(None)
        else:
            committed.set_exception(job_error)
