"""A list of jobs that clients follow, and its pages: each as a client saw it first, and what it has gained since."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import orjson

from api.watch.shared.stream import event
from api.watch.watcher import WaitingClient
from api.web.ttl_cache import TtlCache
from common.domain.job_search import JobSearch, ListPosition, Order
from common.store.listing.index_scan import JobPage
from common.store.listing.positions import ListSpan


@dataclass(frozen=True, slots=True)
class ListKey:
    """A page of a list: clients with the same key follow the same list."""

    tenant: int
    search: JobSearch
    after: ListPosition | None  #: the page begins behind it; None: the first page
    limit: int  #: jobs on the page
    root: str  #: the path prefix of the links in its rows
    scan_jobs: int  #: rows that a read scans at the most


@dataclass(eq=False, slots=True)
class WatchedPage:
    """The jobs of a page, as clients saw it first, and those that the list has gained since."""

    key: ListKey
    job_ids: tuple[UUID, ...]
    last: ListPosition | None  #: the end of the page; None: the end of the list
    clients: set[WaitingClient] = field(default_factory=set)
    newer: str = field(default_factory=lambda: newer_event([], has_more=False))  #: the event about gained jobs

    def gained(self, span: ListSpan, max_jobs: int) -> bool:
        """Take the newest positions of the list. Return True if the page has gained other jobs than before.

        More than `max_jobs` are not counted.
        """
        search, known = self.key.search, set(self.job_ids)
        within = [
            position
            for position in span.positions
            if position.job_id not in known and (self.last is None or not is_behind(position, self.last, search))
        ]
        reached_end = not span.has_more or (
            self.last is not None and bool(span.positions) and is_behind(span.positions[-1], self.last, search)
        )
        has_more = len(within) > max_jobs or (not reached_end and (bool(within) or self.last is not None))
        before, self.newer = self.newer, newer_event(within[:max_jobs], has_more=has_more)
        return self.newer != before


@dataclass(eq=False, slots=True)
class WatchedList:
    """A list that clients follow."""

    key: ListKey
    first_page: TtlCache[JobPage]  #: the page as it is now, at most a poll's interval old
    pages: dict[tuple[UUID, ...], WatchedPage] = field(default_factory=dict)
    clients: int = 0
    next_poll_s: float = 0.0  #: when it may be read again

    @property
    def end(self) -> ListPosition | None:
        """The last position that a page has; None: the end of the list."""
        end: ListPosition | None = None
        for page in self.pages.values():
            if page.last is None:
                return None
            if end is None or is_behind(page.last, end, self.key.search):
                end = page.last
        return end


def is_behind(position: ListPosition, other: ListPosition, search: JobSearch) -> bool:
    """Return True if a position is behind another one in the order of a list."""
    if search.order is Order.FINISHED:
        assert position.finished_at is not None  # noqa: S101 - positions of this order have it
        assert other.finished_at is not None  # noqa: S101 - positions of this order have it
        mine, others = (position.finished_at, position.job_id), (other.finished_at, other.job_id)
        return mine < others if search.descending else mine > others
    return position.job_id < other.job_id if search.descending else position.job_id > other.job_id


def newer_event(positions: Sequence[ListPosition], *, has_more: bool) -> str:
    """Return the event about jobs that a page has gained; with `has_more` their number is a lower bound."""
    ids = [] if has_more else [str(position.job_id) for position in positions]
    return event("newer", orjson.dumps({"count": len(positions), "more": has_more, "job_ids": ids}).decode())
