"""Reads the change feed of a tenant."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from common.domain.errors import FeedExpired
from common.store.connection.caller import for_caller

Change = dict[str, Any]
PAGES = 10  #: rows that a read takes, of up to MAX_PAGE_CHANGES changes each
# One statement, so that no page is deleted between the look at `deleted_to` and the read of the pages.
_READ = for_caller(
    """
    SELECT f.last_number, f.deleted_to, p.first_number, p.changes::text AS changes
    FROM (VALUES (1)) AS single(n)
    LEFT JOIN feeds f ON f.tenant = $1
    LEFT JOIN LATERAL (
        SELECT first_number, last_number, changes FROM feed_pages
        WHERE feed_pages.tenant = $1 AND feed_pages.last_number > greatest($2, f.deleted_to)
        ORDER BY last_number LIMIT $3) p ON true
    ORDER BY p.last_number
    """,
    "ARRAY[$1::int]",
)


@dataclass(frozen=True, slots=True)
class FeedChanges:
    """Successive changes of a feed."""

    after: int  #: the number before the first one
    last: int  #: that of the last one, `after` if there are none
    newest: int  #: the last number of the feed
    changes: list[tuple[int, Change]]


async def read(connection: asyncpg.Connection, tenant: int, after: int | None, pages: int = PAGES) -> FeedChanges:
    """Return the changes behind a number; None: from the oldest that is kept. Raises FeedExpired."""
    rows = await connection.fetch(_READ, tenant, after or 0, pages)
    newest, deleted_to = rows[0]["last_number"] or 0, rows[0]["deleted_to"] or 0
    if after is not None and not deleted_to <= after <= newest:
        raise FeedExpired(deleted_to, newest)
    start = deleted_to if after is None else after
    changes = [item for row in sorted(rows, key=_first_number) if row["changes"] is not None for item in _numbered(row, start)]
    return FeedChanges(start, changes[-1][0] if changes else start, newest, changes)


def _first_number(row: Mapping[str, Any]) -> int:
    return row["first_number"] or 0


def _numbered(row: Mapping[str, Any], after: int) -> list[tuple[int, Change]]:
    numbered = enumerate(orjson.loads(row["changes"]), row["first_number"])
    return [(number, change) for number, change in numbered if number > after]
