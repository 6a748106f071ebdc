"""All waiting clients of an API process: thousands, without a database connection each.

Change notifications (api/watch/change_listener.py) name the jobs that changed; their state is then read from
PostgreSQL. Each watched job is also polled, hundreds in one statement, so a missed signal only delays an answer.
"""

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from uuid import UUID

from fastapi import Request
from starlette.types import Scope

from api.auth.principal import principal_of
from api.limits.addresses import ClientAddresses
from api.limits.places import Limit, Places
from api.telemetry.metrics import ApiMetrics
from api.watch.change_listener import ChangeListener
from api.watch.watcher import WatchedJob, Watcher
from common.domain.errors import JobNotFound, StoreUnavailable, TooManyWaitingClients
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.jobs import reads
from common.store.jobs.reads import JobResult, JobSnapshot
from common.telemetry import logs
from common.telemetry.metrics import EVENTS, LOGS, RESULT
from common.telemetry.refusal_reasons import (
    EVENT_STREAMS_FULL,
    EVENT_STREAMS_OF_ADDRESS,
    LOG_STREAMS_FULL,
    LOG_STREAMS_OF_ADDRESS,
    LONG_POLLS_FULL,
    LONG_POLLS_OF_ADDRESS,
)

log = logs.get("api")
MAX_IDS = 500  # jobs polled in one statement: about 5 ms
MAX_LARGE_READS = 2  # concurrent reads of large results; most connections stay free for other requests
#: Seconds between the first polls of a job, until workers are sure to publish: they skip it for 0.1 s after a publish
#: that reached no subscriber.
EARLY_POLLS_S = (0.02, 0.05, 0.1, 0.2)
_REASONS = {
    (RESULT, Limit.PROCESS): LONG_POLLS_FULL,
    (RESULT, Limit.ADDRESS): LONG_POLLS_OF_ADDRESS,
    (EVENTS, Limit.PROCESS): EVENT_STREAMS_FULL,
    (EVENTS, Limit.ADDRESS): EVENT_STREAMS_OF_ADDRESS,
    (LOGS, Limit.PROCESS): LOG_STREAMS_FULL,
    (LOGS, Limit.ADDRESS): LOG_STREAMS_OF_ADDRESS,
}
MAX_MISSED_POLLS = 3  # consecutive failed polls after which a snapshot is too old to answer with


class Watchers:
    """The waiting clients of this process, by the job that they wait for, and the task that polls these jobs."""

    def __init__(self, settings: Settings, pool: DatabasePool, metrics: ApiMetrics) -> None:
        self._poll_interval_s = settings.wait_poll_seconds
        self._first_poll_timeout_s = settings.database_timeout_seconds
        self._pool = pool
        self._metrics = metrics
        self._change_listener = ChangeListener(settings, self.notify)
        self._addresses = ClientAddresses(settings.trusted_proxies)
        percent = settings.max_percent_per_address
        self._places = {
            RESULT: Places(settings.long_poll_max_clients, percent),
            EVENTS: Places(settings.event_stream_max_clients, percent),
            LOGS: Places(settings.log_stream_max_clients, percent),
        }
        self._jobs: dict[tuple[int, str], WatchedJob] = {}  # by the tenant of their clients and job id
        self._tenants: dict[str, tuple[int, ...]] = {}  # by job id: whose clients wait for it
        # Ids of jobs to poll now, in this order; True if a change notification named the job.
        self._notified: dict[tuple[int, str], bool] = {}
        # A heap of times and jobs. An entry is stale if its time is not the job's `next_poll_s`.
        self._schedule: list[tuple[float, int, WatchedJob]] = []
        self._numbers = count()
        self._poll_number = 0
        self._poller: asyncio.Task[None] | None = None
        self._wake_poller = asyncio.Event()
        self._large_reads = asyncio.Semaphore(MAX_LARGE_READS)
        self.is_draining = False  #: the process shuts down: no client waits any longer

    @contextmanager
    def slot(self, request: Request, waits_for: str = RESULT) -> Iterator[None]:
        """Occupy a slot for a waiting client during the block.

        Raises TooManyWaitingClients if none is free, or if the client's address has its share.
        """
        places, address = self._places[waits_for], self._addresses.of_request(request.scope)
        limit = places.take(address)
        if limit is not None:
            if waits_for == RESULT:
                self._metrics.long_polls.labels("rejected").inc()
            raise self.refused(request, _REASONS[waits_for, limit])
        try:
            yield
        finally:
            places.free(address)

    def refused(self, request: Request, reason: str) -> TooManyWaitingClients:
        """Count a client that is refused for a reason; return what to raise."""
        self._metrics.refusals.count(reason, self._addresses.of_request(request.scope))
        return TooManyWaitingClients()

    def count_waiting(self, scope: Scope, waits_for: str) -> AbstractContextManager[None]:
        """Count a client in the gauge of waiting clients during the block."""
        return self._metrics.count_waiting_client(scope, waits_for)

    async def wait_until_finished(
        self, request: Request, job_id: UUID, timeout_s: float, submitted: Watcher | None = None
    ) -> JobSnapshot:
        """Return a snapshot of the job once it has ended, the time is up, the client has left or the process drains.

        The caller holds a slot. `submitted` is the watcher of a job that this request has just stored. Raises
        JobNotFound, or StoreUnavailable if polls fail.
        """
        with (
            self.count_waiting(request.scope, RESULT),
            nullcontext(submitted) if submitted else self.watch(request, job_id, on_every_change=False) as watcher,
        ):
            if submitted:
                self._schedule_poll(submitted.job, _now() + EARLY_POLLS_S[0])
                self._wake_poller.set()
            is_connected = True if self.is_draining else await watcher.pause(timeout_s)
        snapshot = await self._last_snapshot(watcher, job_id)
        if not snapshot.is_finished:
            outcome = "timeout" if is_connected and not self.is_draining else "disconnected"
            self._metrics.long_polls.labels(outcome).inc()
        return snapshot

    async def first_snapshot(self, watcher: Watcher, job_id: UUID) -> JobSnapshot:
        """Return the snapshot of the first poll. Raises JobNotFound or StoreUnavailable."""
        await watcher.pause(self._first_poll_timeout_s)
        return await self._last_snapshot(watcher, job_id)

    async def _last_snapshot(self, watcher: Watcher, job_id: UUID) -> JobSnapshot:
        job = watcher.job
        snapshot = job.snapshot
        if not watcher.has_polled and not watcher.has_failed:  # the time was up before the first poll
            wanted = [(job.tenant, job_id)]
            snapshots = await self._pool.run(lambda connection: reads.snapshots(connection, wanted), Lane.BY_ID)
            snapshot = snapshots.get((job.tenant, job.id))
        elif (
            watcher.has_failed
            or _now() - job.snapshot_at_s > MAX_MISSED_POLLS * self._poll_interval_s + self._first_poll_timeout_s
        ):
            raise StoreUnavailable
        if snapshot is None:
            raise JobNotFound
        return snapshot

    async def result(self, request: Request, job_id: UUID, snapshot: JobSnapshot) -> JobResult:
        """Return the result or the error of a job; a large one is read from the database. Raises StoreUnavailable."""
        if not snapshot.is_result_large:
            return snapshot.job_result
        tenant = principal_of(request).tenant
        async with self._large_reads:
            result = await self._pool.run(lambda connection: reads.result(connection, tenant, job_id), Lane.BY_ID)
        return result or snapshot.job_result

    @contextmanager
    def watch(
        self, request: Request, job_id: UUID, *, on_every_change: bool, unstored: bool = False
    ) -> Iterator[Watcher]:
        """Watch a job for a client during the block. With `on_every_change` every change wakes it, else only the end.

        `unstored`: the job is about to be stored, so it is not polled before a notification or `wait_until_finished`.
        """
        tenant = principal_of(request).tenant
        key = tenant, str(job_id)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = WatchedJob(*key)
            self._tenants[job.id] = (*self._tenants.get(job.id, ()), tenant)
        watcher = Watcher(request, job, self._poll_number, on_every_change=on_every_change)
        job.watchers.add(watcher)
        job.polls = 0
        self._change_listener.keep_alive()
        if not unstored:
            self._notified.setdefault(key, False)
            self._wake_poller.set()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll_until_idle())
        try:
            yield watcher
        finally:
            job.watchers.discard(watcher)
            if not job.watchers:
                self._forget(job)

    def notify(self, ids: Sequence[str]) -> None:
        """Poll these jobs now, as far as clients wait for them: they have changed."""
        for job_id in ids:
            for tenant in self._tenants.get(job_id, ()):
                self._notified[tenant, job_id] = True
                self._wake_poller.set()

    def _forget(self, job: WatchedJob) -> None:
        del self._jobs[job.tenant, job.id]
        self._tenants[job.id] = tuple(tenant for tenant in self._tenants[job.id] if tenant != job.tenant)
        if not self._tenants[job.id]:
            del self._tenants[job.id]

    # --- polling

    async def _poll_until_idle(self) -> None:
        """Poll the jobs that are due, as long as clients wait."""
        logs.request_id.set(b"")  # one request starts the task, but it serves all
        try:
            while self._jobs:
                self._change_listener.keep_alive()
                self._wake_poller.clear()
                jobs = self._next_jobs()
                if jobs:
                    await self._poll(jobs)
                    continue
                try:
                    async with asyncio.timeout_at(self._schedule[0][0] if self._schedule else None):
                        await self._wake_poller.wait()
                except TimeoutError:
                    pass
        finally:
            self._poller = None

    def _next_jobs(self) -> list[tuple[WatchedJob, bool]]:
        """Return up to MAX_IDS jobs to poll now, notified jobs first, each with True if it was notified."""
        jobs: list[tuple[WatchedJob, bool]] = []
        while self._notified and len(jobs) < MAX_IDS:
            key = next(iter(self._notified))
            is_notified = self._notified.pop(key)
            if key in self._jobs:
                jobs.append((self._jobs[key], is_notified))
        now = _now()
        while self._schedule and self._schedule[0][0] <= now and len(jobs) < MAX_IDS:
            poll_at_s, _, job = heapq.heappop(self._schedule)
            if poll_at_s == job.next_poll_s and self._jobs.get((job.tenant, job.id)) is job:
                jobs.append((job, False))
        return jobs

    async def _poll(self, jobs: Sequence[tuple[WatchedJob, bool]]) -> None:
        self._poll_number += 1
        number, snapshots, failed = self._poll_number, dict[tuple[int, str], JobSnapshot](), False
        ids = [(job.tenant, UUID(job.id)) for job, _ in jobs]
        try:
            snapshots = await self._pool.run(lambda connection: reads.snapshots(connection, ids), Lane.BY_ID)
        except StoreUnavailable:
            failed = True
        except Exception:
            log.exception("wait_poll_failed", count=len(ids))
            failed = True
        now, publishers_ready = _now(), self._change_listener.publishers_ready
        for job, is_notified in jobs:
            is_early = job.polls < len(EARLY_POLLS_S) and not publishers_ready and not failed
            self._schedule_poll(job, now + (EARLY_POLLS_S[job.polls] if is_early else self._poll_interval_s))
            job.polls += 1
            # Watchers that came during the statement wait for the next poll.
            watchers = [watcher for watcher in job.watchers if watcher.since_poll < number]
            if failed:
                for watcher in watchers:
                    watcher.poll_failed()
            else:
                job.snapshot, job.snapshot_at_s = snapshots.get((job.tenant, job.id)), now
                job.is_missing = job.snapshot is None
                ended = sum(watcher.update(job.snapshot) for watcher in watchers)
                self._metrics.long_polls.labels("notified" if is_notified else "polled").inc(ended)

    def _schedule_poll(self, job: WatchedJob, at_s: float) -> None:
        """Set when the next poll of a job is due."""
        job.next_poll_s = at_s
        heapq.heappush(self._schedule, (at_s, next(self._numbers), job))

    def drain(self) -> None:
        """Wake every waiting client, so it is answered before the process ends."""
        self.is_draining = True
        for job in self._jobs.values():
            for watcher in job.watchers:
                watcher.wake()

    async def close(self) -> None:
        """Stop polling and close the change listener."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        await self._change_listener.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
