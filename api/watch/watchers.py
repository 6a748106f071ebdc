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

from api.telemetry.metrics import Meters
from api.watch.change_listener import Wakeups
from common.domain.errors import JobNotFound, StoreUnavailable, TooManyWaiting
from common.settings import Settings
from common.store.connection.asyncpg_pool import Pool
from common.store.jobs import reads
from common.store.jobs.reads import Seen
from common.telemetry import logs
from common.telemetry.metrics import EVENTS, RESULT

log = logs.get("api")
MOST_IDS = 500  # in one statement: about 5 ms
MOST_GREAT = 2  # results that are read alone at the same time, so that most connections are left to others
#: Seconds between the first looks at a job, until workers are sure to tell: a process whom nobody heard tells nothing for 0.1 s.
QUICK_S = (0.02, 0.05, 0.1, 0.2)
MISSED = 3  # looks in a row without an answer: what was seen before is no answer any more


class Watched:
    """A job that clients wait for, and how it was when it was looked at last."""

    __slots__ = ("id", "look_s", "looks", "missing", "seen", "seen_s", "watchers")

    def __init__(self, job_id: str) -> None:
        self.id = job_id
        self.watchers: set[Watcher] = set()
        self.look_s = 0.0  #: when the next look is due
        self.looks = 0
        self.seen: Seen | None = None
        self.seen_s = 0.0
        self.missing = False  #: no job has this id, or none any more


class Watcher:
    """A client that waits for a job."""

    __slots__ = ("_limit", "_request", "after", "every", "failed", "job", "looked", "of", "woken")

    def __init__(self, request: Request, job: Watched, after: int, *, every: bool) -> None:
        """`after`: a look that began later counts. `every`: woken by every change, and by the first look."""
        self._request = request
        self._limit: asyncio.Timeout | None = None
        self.job = job
        self.after = after
        self.every = every
        self.of: tuple[int, int, str] | None = None  #: what it has been woken by last
        self.woken = False
        self.looked = False  #: whether the job was looked at since it came
        self.failed = False  #: or could not be

    def wake(self) -> None:
        """End the pause that it is in, or the next one."""
        self.woken = True
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(0)

    def could_not_look(self) -> None:
        """Hear that a look has failed: whoever has seen nothing yet waits no longer."""
        if not self.looked:
            self.failed = True
            self.wake()

    def show(self, seen: Seen | None) -> bool:
        """See its job as a look has shown it, None: there is none. Returns whether what it waits for has come, which is the end."""
        self.looked = True
        of = (0, 0, "") if seen is None else (seen.epoch, seen.rev, seen.status)
        due = of != self.of if self.every else seen is None or seen.ended
        if not due or self.woken:
            return False
        self.of = of
        self.wake()
        return not self.every and seen is not None

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


class Waiting:
    """All clients of this process that wait."""

    def __init__(self, settings: Settings, pool: Pool, meters: Meters) -> None:
        self._look_every_s = settings.wait_look_seconds
        self._first_look_s = settings.database_timeout_seconds
        self._pool = pool
        self._meters = meters
        self._wakeups = Wakeups(settings, self.tell)
        self._places = {RESULT: settings.max_waiting_clients, EVENTS: settings.max_event_streams}
        self._jobs: dict[str, Watched] = {}
        self._at_once: dict[str, bool] = {}  # to be looked at now, in this order; whether something was told of it
        self._due: list[tuple[float, int, Watched]] = []  # a heap; entries of another time than the job's are over
        self._numbers = count()
        self._look_number = 0
        self._looker: asyncio.Task[None] | None = None
        self._stirred = asyncio.Event()
        self._great = asyncio.Semaphore(MOST_GREAT)
        self.leaving = False  #: nobody waits any more: the process ends

    @contextmanager
    def place(self, waits_for: str = RESULT) -> Iterator[None]:
        """Take a place among those who wait, for as long as the block. Raises TooManyWaiting."""
        if not self._places[waits_for]:
            if waits_for == RESULT:
                self._meters.waits.labels("refused").inc()
            raise TooManyWaiting
        self._places[waits_for] -= 1
        try:
            yield
        finally:
            self._places[waits_for] += 1

    def counted(self, scope: Scope, waits_for: str) -> AbstractContextManager[None]:
        """Count a client as one that waits, for as long as the block."""
        return self._meters.waiting(scope, waits_for)

    async def ended(self, request: Request, job_id: UUID, within_s: float, new: Watcher | None = None) -> Seen:
        """Return a job once it has ended; or as it was seen last when the time is up, the client has left or this process ends.

        Within a place. `new`: who has watched it since before it was stored. Raises JobNotFound, or StoreUnavailable where PostgreSQL cannot say.
        """
        with self.counted(request.scope, RESULT), nullcontext(new) if new else self.watch(request, job_id, every=False) as watcher:
            if new:
                self._look_later(new.job, _now() + QUICK_S[0])
                self._stirred.set()
            stayed = True if self.leaving else await watcher.pause(within_s)
        seen = await self._answer(watcher, job_id)
        if not seen.ended:
            self._meters.waits.labels("time" if stayed and not self.leaving else "left").inc()
        return seen

    async def first(self, watcher: Watcher, job_id: UUID) -> Seen:
        """Return a job as the first look sees it. Raises JobNotFound or StoreUnavailable."""
        await watcher.pause(self._first_look_s)
        return await self._answer(watcher, job_id)

    async def _answer(self, watcher: Watcher, job_id: UUID) -> Seen:
        job = watcher.job
        seen = job.seen
        if not watcher.looked and not watcher.failed:  # its time was up before a look
            seen = (await self._pool.read(lambda connection: reads.seen(connection, [job_id]))).get(job.id)
        elif watcher.failed or _now() - job.seen_s > MISSED * self._look_every_s + self._first_look_s:
            raise StoreUnavailable
        if seen is None:
            raise JobNotFound
        return seen

    async def result(self, job_id: UUID, seen: Seen) -> str | None:
        """Return the result of a job that has been seen, as JSON text. Raises StoreUnavailable."""
        if not seen.large:
            return seen.result
        async with self._great:
            found = await self._pool.read(lambda connection: reads.result(connection, job_id))
        return None if found is None else found[1]

    @contextmanager
    def watch(self, request: Request, job_id: UUID, *, every: bool, new: bool = False) -> Iterator[Watcher]:
        """Look at a job for a client, for as long as the block; `every`: it is woken by every change, else by the end alone.

        `new`: it is about to be stored, so there is nothing to see until something is told of it.
        """
        key = str(job_id)
        job = self._jobs.get(key)
        if job is None:
            job = self._jobs[key] = Watched(key)
        watcher = Watcher(request, job, self._look_number, every=every)
        job.watchers.add(watcher)
        job.looks = 0
        self._wakeups.want()
        if not new:
            self._at_once.setdefault(key, False)
            self._stirred.set()
        if self._looker is None:
            self._looker = asyncio.create_task(self._look())
        try:
            yield watcher
        finally:
            job.watchers.discard(watcher)
            if not job.watchers:
                del self._jobs[key]

    def tell(self, ids: Sequence[str]) -> None:
        """Look at these jobs now, if anybody waits for them: they have changed."""
        for one in ids:
            if one in self._jobs:
                self._at_once[one] = True
                self._stirred.set()

    # --- looks

    async def _look(self) -> None:
        """Look at what is due, as long as anybody waits."""
        logs.request_id.set(b"")  # begun by one request, it serves all
        try:
            while self._jobs:
                self._wakeups.want()
                self._stirred.clear()
                jobs = self._next()
                if jobs:
                    await self._look_at(jobs)
                    continue
                try:
                    async with asyncio.timeout_at(self._due[0][0] if self._due else None):
                        await self._stirred.wait()
                except TimeoutError:
                    pass
        finally:
            self._looker = None

    def _next(self) -> list[tuple[Watched, bool]]:
        """Return the jobs to look at now, at most so many, and whether they were told; those that were told come first."""
        jobs: list[tuple[Watched, bool]] = []
        while self._at_once and len(jobs) < MOST_IDS:
            key = next(iter(self._at_once))
            told = self._at_once.pop(key)
            if key in self._jobs:
                jobs.append((self._jobs[key], told))
        now = _now()
        while self._due and self._due[0][0] <= now and len(jobs) < MOST_IDS:
            look_s, _, job = heapq.heappop(self._due)
            if look_s == job.look_s and self._jobs.get(job.id) is job:
                jobs.append((job, False))
        return jobs

    async def _look_at(self, jobs: Sequence[tuple[Watched, bool]]) -> None:
        self._look_number += 1
        number, found, failed = self._look_number, dict[str, Seen](), False
        ids = [UUID(job.id) for job, _ in jobs]
        try:
            found = await self._pool.read(lambda connection: reads.seen(connection, ids))
        except StoreUnavailable:
            failed = True
        except Exception:
            log.exception("waiting_failed", count=len(ids))
            failed = True
        now, sure = _now(), self._wakeups.sure
        for job, told in jobs:
            quick = job.looks < len(QUICK_S) and not sure and not failed
            self._look_later(job, now + (QUICK_S[job.looks] if quick else self._look_every_s))
            job.looks += 1
            watchers = [watcher for watcher in job.watchers if watcher.after < number]  # this look began after they came
            if failed:
                for watcher in watchers:
                    watcher.could_not_look()
            else:
                job.seen, job.seen_s = found.get(job.id), now
                job.missing = job.seen is None
                ended = sum(watcher.show(job.seen) for watcher in watchers)
                self._meters.waits.labels("told" if told else "looked").inc(ended)

    def _look_later(self, job: Watched, at_s: float) -> None:
        """Say when the next look at a job is due."""
        job.look_s = at_s
        heapq.heappush(self._due, (at_s, next(self._numbers), job))

    def leave(self) -> None:
        """Answer everybody who waits, at once: this process ends."""
        self.leaving = True
        for job in self._jobs.values():
            for watcher in job.watchers:
                watcher.wake()

    async def close(self) -> None:
        """End it."""
        if self._looker is not None:
            self._looker.cancel()
            await asyncio.gather(self._looker, return_exceptions=True)
        await self._wakeups.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
