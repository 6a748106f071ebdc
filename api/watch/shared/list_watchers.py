"""The lists that clients of this process follow, and the task that reads them: each once for all of its clients."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from uuid import UUID

from fastapi import Request

from api.watch.shared.job_rows import JobRows, RenderRow
from api.watch.shared.list_events import page_id
from api.watch.shared.poller import Poller
from api.watch.shared.stream import MAX_MISSED_POLLS, SharedClient, event
from api.watch.shared.watched_list import ListKey, WatchedList, WatchedPage, is_behind
from api.watch.watchers import Watchers
from api.web.ttl_cache import TtlCache
from common.domain.errors import ReadTimeout, StoreUnavailable, TooManyReads
from common.domain.job_search import ListPosition, Order
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.listing import job_list, positions
from common.store.listing.index_scan import JobPage, ScanLimits
from common.telemetry import logs
from common.telemetry.refusal_reasons import FOLLOWED_JOBS, FOLLOWED_LISTS

log = logs.get("api")
REST = 10  # times what the read of a list took, until the next one: so a slow list takes a tenth of a connection
PageTail = Callable[[JobPage], str]  #: the rest of a page behind its jobs, as members of a JSON object


class ListWatchers:
    """The lists that clients of this process follow."""

    def __init__(self, settings: Settings, pool: DatabasePool, watchers: Watchers, render: RenderRow) -> None:
        """`watchers`: counts refused clients. `render`: makes the JSON of a row."""
        self._settings = settings
        self._pool = pool
        self._watchers = watchers
        self._lists: dict[ListKey, WatchedList] = {}
        self.missed_polls = 0  #: reads of rows that have failed since the last one that did not
        self._poller = Poller(settings.wait_poll_seconds, self._poll_all)
        self.rows = JobRows(pool, render, settings.list_stream_max_jobs)

    @property
    def is_lost(self) -> bool:
        """True if the last reads have failed."""
        return self.missed_polls >= MAX_MISSED_POLLS

    @contextmanager
    def watch(
        self, request: Request, key: ListKey, tail: PageTail, resumed: Sequence[UUID] | None
    ) -> Iterator["ListClient"]:
        """Keep a list up to date for a client during the block.

        `resumed`: the jobs that the client shows already; None: it gets the page. Raises TooManyWaitingClients.
        """
        followed = self._lists.get(key)
        if followed is None:
            if len(self._lists) >= self._settings.list_stream_max_lists:
                raise self._watchers.refused(request, FOLLOWED_LISTS)
            first_page = TtlCache(partial(self._load, key), self._settings.wait_poll_seconds)
            followed = self._lists[key] = WatchedList(key, first_page)
        followed.clients += 1
        client = ListClient(request, self, followed, tail, resumed)
        self._poller.start()
        try:
            yield client
        finally:
            self._leave(client)
            followed.clients -= 1
            if not followed.clients:
                del self._lists[key]

    def join(self, client: "ListClient", job_ids: tuple[UUID, ...], last: ListPosition | None) -> WatchedPage:
        """Add a client to the page of its list with these jobs. Raises TooManyWaitingClients."""
        pages = client.followed.pages
        page = pages.get(job_ids)
        if page is None:
            page = WatchedPage(client.followed.key, job_ids, last)
            if not self.rows.hold(page):
                raise self._watchers.refused(client.request, FOLLOWED_JOBS)
            pages[job_ids] = page
            client.followed.next_poll_s = 0.0
        page.clients.add(client)
        return page

    def _leave(self, client: "ListClient") -> None:
        page = client.page
        if page is None:
            return
        page.clients.discard(client)
        if not page.clients:
            del client.followed.pages[page.job_ids]
            self.rows.release(page)

    async def _load(self, key: ListKey) -> JobPage:
        limits = ScanLimits(key.limit, key.scan_jobs, self._settings.max_clock_skew_seconds)
        read = partial(job_list.page, tenant=key.tenant, search=key.search, after=key.after, limits=limits)
        return await self._pool.run_sync(read, Lane.EXPENSIVE, tenant=key.tenant)

    # --- polling

    async def _poll_all(self) -> bool:
        changed: set[WatchedPage] = set()
        try:
            changed |= await self.rows.read_all()
            self.missed_polls = 0
        except StoreUnavailable:
            self.missed_polls += 1
        except Exception:
            log.exception("wait_poll_failed", count=len(self._lists))
            self.missed_polls += 1
        self._wake(changed)
        end_s = _now() + self._settings.wait_poll_seconds
        for followed in sorted(self._lists.values(), key=lambda followed: followed.next_poll_s):
            if followed.next_poll_s > _now() or _now() >= end_s or self.is_lost:
                break  # the rest in the next poll, behind the rows
            self._wake(await self._poll(followed))
        if self.is_lost:
            self._wake({page for followed in self._lists.values() for page in followed.pages.values()})
        return bool(self._lists)

    async def _poll(self, followed: WatchedList) -> set[WatchedPage]:
        """Read what a list has gained. Return the pages that are affected."""
        key, began, settings = followed.key, _now(), self._settings
        max_newer = settings.list_stream_max_newer_jobs
        pages = list(followed.pages.values())
        if not pages:
            return set()
        limits = ScanLimits(key.limit + max_newer + 1, key.scan_jobs, settings.max_clock_skew_seconds)
        bounds = key.after, followed.end
        read = partial(positions.span, tenant=key.tenant, search=key.search, bounds=bounds, limits=limits)
        try:
            span = await self._pool.run_sync(read, Lane.EXPENSIVE, tenant=key.tenant)
        except (StoreUnavailable, TooManyReads, ReadTimeout):
            return set()
        except Exception:
            log.exception("wait_poll_failed", count=followed.clients)
            return set()
        finally:
            followed.next_poll_s = _now() + REST * (_now() - began)
        return {page for page in pages if page.gained(span, max_newer)}

    def _wake(self, pages: set[WatchedPage]) -> None:
        for page in pages:
            for client in page.clients:
                client.wake()

    def drain(self) -> None:
        """Wake every client, so that its stream ends before the process does."""
        self._wake({page for followed in self._lists.values() for page in followed.pages.values()})

    async def close(self) -> None:
        """Stop polling."""
        await self._poller.close()


class ListClient(SharedClient):
    """A client that follows a page of a list."""

    def __init__(
        self,
        request: Request,
        watchers: ListWatchers,
        followed: WatchedList,
        tail: PageTail,
        resumed: Sequence[UUID] | None,
    ) -> None:
        super().__init__(request)
        self.request = request
        self.followed = followed
        self.page: WatchedPage | None = None
        self._watchers = watchers
        self._tail = tail
        self._resumed = resumed
        self._read_number = 0  # of the last read of rows whose changes the client has
        self._newer = ""

    @property
    def is_lost(self) -> bool:
        """True if the list can no longer be read."""
        return self._watchers.is_lost

    async def begin(self) -> str:
        """Return the page, or all rows of a resumed one.

        Raises TooManyWaitingClients, StoreUnavailable, TooManyReads or ReadTimeout.
        """
        rows = self._watchers.rows
        if self._resumed is not None:
            self.page = self._watchers.join(self, tuple(self._resumed), None)
            await rows.read_page(self.page)
            self._watchers.missed_polls = 0
            self.page.last = self.page.last or self._end_of_resumed(self.page)
            return self._changes(page_id(self.page.job_ids), since=0) + self._newer_jobs()
        found = await self.followed.first_page.read()
        last = found.next
        if len(found.jobs) == self.followed.key.limit:  # what comes behind it is on the next page, if there is none yet
            last = ListPosition(found.jobs[-1]["id"], found.jobs[-1]["at"])
        self.page = self._watchers.join(self, tuple(job["id"] for job in found.jobs), last)
        await rows.read_page(self.page)
        self._watchers.missed_polls = 0
        self._read_number = rows.read_number
        jobs = ",".join(row.text for row in rows.of_page(self.page) if row.text)
        data = f'{{"jobs":[{jobs}],{self._tail(found)}}}'
        return event("page", data, page_id(self.page.job_ids)) + self._newer_jobs()

    def _end_of_resumed(self, page: WatchedPage) -> ListPosition | None:
        """Return the position of the last row of a full page; None: the page was not full."""
        end: ListPosition | None = None
        if len(page.job_ids) < page.key.limit:
            return end
        search = page.key.search
        for job_id, row in zip(page.job_ids, self._watchers.rows.of_page(page), strict=True):
            if search.order is Order.FINISHED and row.finished_at is None:
                continue
            position = ListPosition(job_id, row.finished_at if search.order is Order.FINISHED else None)
            if end is None or is_behind(position, end, search):
                end = position
        return end

    def next_events(self) -> str:
        """Return the rows that have changed, and the jobs that the list has gained."""
        if self.page is None:
            return ""
        return self._changes(None, since=self._read_number) + self._newer_jobs()

    def _changes(self, event_id: str | None, since: int) -> str:
        """Return the event about rows that have changed in reads above a number; empty: none has."""
        assert self.page is not None  # noqa: S101 - the callers have seen it
        rows = self._watchers.rows
        changed = [
            (job_id, row.text)
            for job_id, row in zip(self.page.job_ids, rows.of_page(self.page), strict=True)
            if row.changed_in > since
        ]
        self._read_number = rows.read_number
        if not changed and event_id is None:
            return ""
        jobs = ",".join(text for _, text in changed if text)
        removed = ",".join(f'"{job_id}"' for job_id, text in changed if not text)
        return event("jobs", f'{{"jobs":[{jobs}],"removed":[{removed}]}}', event_id)

    def _newer_jobs(self) -> str:
        """Return the event about gained jobs; empty: the client has it."""
        assert self.page is not None  # noqa: S101 - the callers have seen it
        if self.page.newer == self._newer:
            return ""
        self._newer = self.page.newer
        return self._newer


def _now() -> float:
    return asyncio.get_running_loop().time()
