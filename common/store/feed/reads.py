"""Reads the change feed of a tenant."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from common.domain.errors import FeedExpired
from common.store.connection.caller import for_caller
from common.store.feed.numbering import MAX_PAGE_CHANGES

READ_CHANGES = 1_000  #: changes that a read returns; it parses up to twice as many, in about 4 ms
# Numbers have no gaps, so the pages of the wanted changes are a range. One statement, so that no page is deleted
# between the look at `deleted_to` and the read of the pages.
_READ = for_caller(
    """
    SELECT f.last_number, f.deleted_to, p.first_number, p.changes::text AS changes
    FROM (VALUES (1)) AS single(n)
    LEFT JOIN feeds f ON f.tenant = $1
    LEFT JOIN LATERAL (
        SELECT first_number, changes FROM feed_pages
        WHERE feed_pages.tenant = $1 AND feed_pages.last_number > greatest($2::bigint, f.deleted_to)
          AND feed_pages.last_number < greatest($2::bigint, f.deleted_to) + $3::bigint + $4::bigint) p ON true
    """,
    "ARRAY[$1::int]",
)


@dataclass(frozen=True, slots=True)
class FeedChange:
    """A change of a job."""

    number: int
    queue: str
    operation: str | None  #: None: the job was gone when the change got its number
    tags: Sequence[str]
    text: bytes  #: as clients read it, JSON


@dataclass(frozen=True, slots=True)
class FeedChanges:
    """Successive changes of a feed."""

    after: int  #: the number before the first one
    newest: int  #: the last number of the feed
    changes: Sequence[FeedChange]

    @property
    def last(self) -> int:
        """The number of the last one, `after` if there are none."""
        return self.changes[-1].number if self.changes else self.after


async def read(connection: asyncpg.Connection, tenant: int, after: int | None) -> FeedChanges:
    """Return up to READ_CHANGES changes behind a number; None: from the oldest that is kept. Raises FeedExpired."""
    rows = [dict(row) for row in await connection.fetch(_READ, tenant, after or 0, READ_CHANGES, MAX_PAGE_CHANGES)]
    newest, deleted_to = rows[0]["last_number"] or 0, rows[0]["deleted_to"] or 0
    if after is not None and not deleted_to <= after <= newest:
        raise FeedExpired(deleted_to, newest)
    start = deleted_to if after is None else after
    pages = sorted((row for row in rows if row["changes"] is not None), key=_first_number)
    changes = [change for page in pages for change in _changes(page) if change.number > start]
    return FeedChanges(start, newest, changes[:READ_CHANGES])


def _first_number(row: Mapping[str, Any]) -> int:
    number: int = row["first_number"]
    return number


def _changes(row: Mapping[str, Any]) -> Iterator[FeedChange]:
    for number, members in enumerate(orjson.loads(row["changes"]), row["first_number"]):
        text = orjson.dumps({"number": number, **members})
        yield FeedChange(number, members["queue"], members["operation"], members["tags"], text)
