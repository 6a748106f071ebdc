"""The rows of jobs that clients of lists follow: read by id, a row once for all pages that have it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from api.watch.shared.watched_list import WatchedPage
from common.store.connection.asyncpg_pool import DatabasePool
from common.store.connection.lanes import Lane
from common.store.listing import job_rows
from common.store.listing.index_scan import Record
from common.store.listing.job_rows import UNREAD, RowRevision

MAX_IDS = 500  # in one statement: about 5 ms
RenderRow = Callable[[Record, str], str]  #: the JSON of a row; the text is the path prefix of its links
Owner = tuple[int, str]  #: of rows: a tenant, and the path prefix of their links


@dataclass(eq=False, slots=True)
class JobRow:
    """A job as lists show it."""

    revision: RowRevision = UNREAD
    text: str = ""  #: JSON; empty: there is no such job, or it was not read yet
    finished_at: datetime | None = None
    changed_in: int = 0  #: the number of the read that found it changed
    pages: set[WatchedPage] = field(default_factory=set)


class JobRows:
    """The rows that pages hold, by tenant and path prefix."""

    def __init__(self, pool: DatabasePool, render: RenderRow, max_rows: int) -> None:
        """`max_rows`: held at the same time."""
        self._pool = pool
        self._render = render
        self._max_rows = max_rows
        self._rows: dict[Owner, dict[UUID, JobRow]] = {}
        self._held = 0
        self.read_number = 0  #: of the last read

    def hold(self, page: WatchedPage) -> bool:
        """Hold the rows of a page. Return False if that were too many."""
        rows = self._rows.setdefault(_owner(page), {})
        new = [job_id for job_id in page.job_ids if job_id not in rows]
        if self._held + len(new) > self._max_rows:
            self._forget_empty(_owner(page))
            return False
        self._held += len(new)
        rows |= {job_id: JobRow() for job_id in new}
        for job_id in page.job_ids:
            rows[job_id].pages.add(page)
        return True

    def release(self, page: WatchedPage) -> None:
        """Forget the rows that no other page has."""
        rows = self._rows[_owner(page)]
        for job_id in page.job_ids:
            rows[job_id].pages.discard(page)
            if not rows[job_id].pages:
                del rows[job_id]
                self._held -= 1
        self._forget_empty(_owner(page))

    def _forget_empty(self, owner: Owner) -> None:
        if not self._rows[owner]:
            del self._rows[owner]

    def of_page(self, page: WatchedPage) -> Sequence[JobRow]:
        """Return the rows of a page that is held, in its order."""
        rows = self._rows[_owner(page)]
        return [rows[job_id] for job_id in page.job_ids]

    async def read_page(self, page: WatchedPage) -> None:
        """Read the rows of a page that were not read yet. Raises StoreUnavailable."""
        rows = self._rows[_owner(page)]
        await self._read(_owner(page), [job_id for job_id in page.job_ids if rows[job_id].revision is UNREAD])

    async def read_all(self) -> set[WatchedPage]:
        """Read all rows; return the pages that have a changed one. Raises StoreUnavailable."""
        changed: set[WatchedPage] = set()
        for owner in list(self._rows):
            changed |= await self._read(owner, list(self._rows.get(owner, ())))
        return changed

    async def _read(self, owner: Owner, job_ids: Sequence[UUID]) -> set[WatchedPage]:
        changed: set[WatchedPage] = set()
        for part in range(math.ceil(len(job_ids) / MAX_IDS)):
            changed |= await self._read_part(owner, job_ids[part * MAX_IDS : (part + 1) * MAX_IDS])
        return changed

    async def _read_part(self, owner: Owner, job_ids: Iterable[UUID]) -> set[WatchedPage]:
        (tenant, root), rows = owner, self._rows.get(owner, {})
        known = [(job_id, rows[job_id].revision) for job_id in job_ids if job_id in rows]
        found = await self._pool.run(lambda connection: job_rows.changed_rows(connection, tenant, known), Lane.BY_ID)
        self.read_number += 1
        changed: set[WatchedPage] = set()
        for revision, record in found:
            row = rows.get(record["id"])
            if row is None or row.revision == revision:  # released, or read by a client that came meanwhile
                continue
            text = self._render(record, root) if revision.status else ""
            if text != row.text or row.revision is UNREAD:
                row.changed_in = self.read_number
                changed |= row.pages
            row.revision, row.text, row.finished_at = revision, text, record["finished_at"]
        return changed


def _owner(page: WatchedPage) -> Owner:
    return page.key.tenant, page.key.root
