"""Clients that wait for jobs: thousands on one process, none of them with a database connection.

Each is a task that sleeps until its job has changed, its time is up or its client leaves. Changes are told through Redis (api/watch/change_listener.py),
which says no more than where to look; and each job is looked at besides, again and again, many in one statement.
"""

import asyncio
import heapq
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import count
from uuid import UUID

from fastapi import Request
from starlette.types import Scope

from api.telemetry.metrics import ApiMetrics
from api.watch.change_listener import ChangeListener
from common.domain.errors import JobNotFound, StoreUnavailable, TooManyWaitingClients
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.jobs import reads
from common.store.jobs.reads import JobSnapshot
from common.telemetry import logs
from common.telemetry.metrics import EVENTS, RESULT

log = logs.get("api")
MAX_IDS = 500  # in one statement: about 5 ms
MAX_LARGE_READS = 2  # results that are read alone at the same time, so that most connections are left to others
#: Seconds between the first looks at a job, until workers are sure to tell: a process whom nobody heard tells nothing for 0.1 s.
EARLY_POLLS_S = (0.02, 0.05, 0.1, 0.2)
MAX_MISSED_POLLS = 3  # looks in a row without an answer: what was seen before is no answer any more


class WatchedJob:
    """A job that clients wait for, and how it was when it was looked at last."""

    __slots__ = ("id", "is_missing", "next_poll_s", "polls", "snapshot", "snapshot_at_s", "watchers")

    def __init__(self, job_id: str) -> None:
        self.id = job_id
        self.watchers: set[Watcher] = set()
        self.next_poll_s = 0.0  #: when the next look is due
        self.polls = 0
        self.snapshot: JobSnapshot | None = None
        self.snapshot_at_s = 0.0
        self.is_missing = False  #: no job has this id, or none any more


class Watcher:
    """A client that waits for a job."""

    __slots__ = ("_limit", "_request", "has_failed", "has_polled", "job", "last_revision", "on_every_change", "since_poll", "woken")

    def __init__(self, request: Request, job: WatchedJob, since_poll: int, *, on_every_change: bool) -> None:
        """`after`: a look that began later counts. `every`: woken by every change, and by the first look."""
        self._request = request
        self._limit: asyncio.Timeout | None = None
        self.job = job
        self.since_poll = since_poll
        self.on_every_change = on_every_change
        self.last_revision: tuple[int, int, str] | None = None  #: what it has been woken by last
        self.woken = False
        self.has_polled = False  #: whether the job was looked at since it came
        self.has_failed = False  #: or could not be

    def wake(self) -> None:
        """End the pause that it is in, or the next one."""
        self.woken = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    def poll_failed(self) -> None:
        """Hear that a look has failed: whoever has seen nothing yet waits no longer."""
        if not self.has_polled:
            self.has_failed = True
            self.wake()

    def update(self, snapshot: JobSnapshot | None) -> bool:
        """See its job as a look has shown it, None: there is none. Returns whether what it waits for has come, which is the end."""
        self.has_polled = True
        of = (0, 0, "") if snapshot is None else (snapshot.epoch, snapshot.rev, snapshot.status)
        due = of != self.last_revision if self.on_every_change else snapshot is None or snapshot.is_finished
        if not due or self.woken:
            return False
        self.last_revision = of
        self.wake()
        return not self.on_every_change and snapshot is not None

    async def pause(self, seconds: float) -> bool:
        """Wait until it is woken or the time is up. Returns False once the client has gone."""
        try:
            # One task and one timer a client: it waits for the client to leave, and being woken is its time being up.
            async with asyncio.timeout(seconds) as self._limit:
                if self.woken:
                    return True
                while (await self._request.receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        finally:
            self._limit = None
        return False


class Watchers:
    """All clients of this process that wait."""

    def __init__(self, settings: Settings, pool: DatabasePool, meters: ApiMetrics) -> None:
        self._poll_interval_s = settings.wait_look_seconds
        self._first_poll_timeout_s = settings.database_timeout_seconds
        self._pool = pool
        self._metrics = meters
        self._change_listener = ChangeListener(settings, self.notify)
        self._slots = {RESULT: settings.max_waiting_clients, EVENTS: settings.max_event_streams}
        self._jobs: dict[str, WatchedJob] = {}
        self._notified: dict[str, bool] = {}  # to be looked at now, in this order; whether something was told of it
        self._schedule: list[tuple[float, int, WatchedJob]] = []  # a heap; entries of another time than the job's are over
        self._numbers = count()
        self._poll_number = 0
        self._poller: asyncio.Task[None] | None = None
        self._wake_poller = asyncio.Event()
        self._large_reads = asyncio.Semaphore(MAX_LARGE_READS)
        self.is_draining = False  #: nobody waits any more: the process ends

    @contextmanager
    def slot(self, waits_for: str = RESULT) -> Iterator[None]:
        """Take a place among those who wait, for as long as the block. Raises TooManyWaiting."""
        if not self._slots[waits_for]:
            if waits_for == RESULT:
                self._metrics.long_polls.labels("refused").inc()
            raise TooManyWaitingClients
        self._slots[waits_for] -= 1
        try:
            yield
        finally:
            self._slots[waits_for] += 1

    def counted(self, scope: Scope, waits_for: str) -> AbstractContextManager[None]:
        """Count a client as one that waits, for as long as the block."""
        return self._metrics.count_waiting_client(scope, waits_for)

    async def wait_until_finished(self, request: Request, job_id: UUID, timeout_s: float, submitted: Watcher | None = None) -> JobSnapshot:
        """Return a job once it has ended; or as it was seen last when the time is up, the client has left or this process ends.

        Within a place. `new`: who has watched it since before it was stored. Raises JobNotFound, or StoreUnavailable where PostgreSQL cannot say.
        """
        with self.counted(request.scope, RESULT), nullcontext(submitted) if submitted else self.watch(request, job_id, on_every_change=False) as watcher:
            if submitted:
                self._schedule_poll(submitted.job, _now() + EARLY_POLLS_S[0])
                self._wake_poller.set()
            stayed = True if self.is_draining else await watcher.pause(timeout_s)
        seen = await self._last_snapshot(watcher, job_id)
        if not seen.is_finished:
            self._metrics.long_polls.labels("time" if stayed and not self.is_draining else "left").inc()
        return seen

    async def first_snapshot(self, watcher: Watcher, job_id: UUID) -> JobSnapshot:
        """Return a job as the first look sees it. Raises JobNotFound or StoreUnavailable."""
        await watcher.pause(self._first_poll_timeout_s)
        return await self._last_snapshot(watcher, job_id)

    async def _last_snapshot(self, watcher: Watcher, job_id: UUID) -> JobSnapshot:
        job = watcher.job
        seen = job.snapshot
        if not watcher.has_polled and not watcher.has_failed:  # its time was up before a look
            seen = (await self._pool.run(lambda connection: reads.snapshots(connection, [job_id]))).get(job.id)
        elif watcher.has_failed or _now() - job.snapshot_at_s > MAX_MISSED_POLLS * self._poll_interval_s + self._first_poll_timeout_s:
            raise StoreUnavailable
        if seen is None:
            raise JobNotFound
        return seen

    async def result(self, job_id: UUID, snapshot: JobSnapshot) -> str | None:
        """Return the result of a job that has been seen, as JSON text. Raises StoreUnavailable."""
        if not snapshot.is_result_large:
            return snapshot.result
        async with self._large_reads:
            found = await self._pool.run(lambda connection: reads.result(connection, job_id))
        return None if found is None else found[1]

    @contextmanager
    def watch(self, request: Request, job_id: UUID, *, on_every_change: bool, new: bool = False) -> Iterator[Watcher]:
        """Look at a job for a client, for as long as the block; `every`: it is woken by every change, else by the end alone.

        `new`: it is about to be stored, so there is nothing to see until something is told of it.
        """
        key = str(job_id)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = WatchedJob(key)
        watcher = Watcher(request, job, self._poll_number, on_every_change=on_every_change)
        job.watchers.add(watcher)
        job.polls = 0
        self._change_listener.keep_alive()
        if not new:
            self._notified.setdefault(key, False)
            self._wake_poller.set()
        if self._poller is None:
            self._poller = asyncio.create_task(self._poll_until_idle())
        try:
            yield watcher
        finally:
            job.watchers.discard(watcher)
            if not job.watchers:
                del self._jobs[key]

    def notify(self, ids: Sequence[str]) -> None:
        """Look at these jobs now, if anybody waits for them: they have changed."""
        for one in ids:
            if one in self._jobs:
                self._notified[one] = True
                self._wake_poller.set()

    # --- looks

    async def _poll_until_idle(self) -> None:
        """Look at what is due, as long as anybody waits."""
        logs.request_id.set(b"")  # begun by one request, it serves all
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
        """Return the jobs to look at now, at most so many, and whether they were told; those that were told come first."""
        jobs: list[tuple[WatchedJob, bool]] = []
        while self._notified and len(jobs) < MAX_IDS:
            key = next(iter(self._notified))
            told = self._notified.pop(key)
            if key in self._jobs:
                jobs.append((self._jobs[key], told))
        now = _now()
        while self._schedule and self._schedule[0][0] <= now and len(jobs) < MAX_IDS:
            look_s, _, job = heapq.heappop(self._schedule)
            if look_s == job.next_poll_s and self._jobs.get(job.id) is job:
                jobs.append((job, False))
        return jobs

    async def _poll(self, jobs: Sequence[tuple[WatchedJob, bool]]) -> None:
        self._poll_number += 1
        number, found, failed = self._poll_number, dict[str, JobSnapshot](), False
        ids = [UUID(job.id) for job, _ in jobs]
        try:
            found = await self._pool.run(lambda connection: reads.snapshots(connection, ids))
        except StoreUnavailable:
            failed = True
        except Exception:
            log.exception("waiting_failed", count=len(ids))
            failed = True
        now, sure = _now(), self._change_listener.publishers_ready
        for job, told in jobs:
            quick = job.polls < len(EARLY_POLLS_S) and not sure and not failed
            self._schedule_poll(job, now + (EARLY_POLLS_S[job.polls] if quick else self._poll_interval_s))
            job.polls += 1
            watchers = [watcher for watcher in job.watchers if watcher.since_poll < number]  # this look began after they came
            if failed:
                for watcher in watchers:
                    watcher.poll_failed()
            else:
                job.snapshot, job.snapshot_at_s = found.get(job.id), now
                job.is_missing = job.snapshot is None
                ended = sum(watcher.update(job.snapshot) for watcher in watchers)
                self._metrics.long_polls.labels("told" if told else "looked").inc(ended)

    def _schedule_poll(self, job: WatchedJob, at_s: float) -> None:
        """Say when the next look at a job is due."""
        job.next_poll_s = at_s
        heapq.heappush(self._schedule, (at_s, next(self._numbers), job))

    def drain(self) -> None:
        """Answer everybody who waits, at once: this process ends."""
        self.is_draining = True
        for job in self._jobs.values():
            for watcher in job.watchers:
                watcher.wake()

    async def close(self) -> None:
        """End it."""
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        await self._change_listener.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
