"""Rows of a list for clients that follow it: of known jobs, those that have changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from common.store.connection.caller import for_caller
from common.store.listing.index_scan import Record
from common.store.listing.job_list import SHOWN

# OFFSET 0 keeps the look-up by id: it prunes partitions.
_CHANGED = for_caller(
    f"""
SELECT d.id, coalesce(s.run, -1) AS run, coalesce(s.rev, -1) AS rev, {SHOWN.format(row="s")}
FROM unnest($2::uuid[], $3::int[], $4::int[], $5::text[]) AS d(id, run, rev, status)
LEFT JOIN LATERAL (
    SELECT * FROM job_states WHERE job_states.id = d.id AND job_states.tenant = $1 OFFSET 0) s ON true
WHERE coalesce(s.run, -1) <> d.run OR coalesce(s.rev, -1) <> d.rev OR coalesce(s.status, '') <> d.status
""",
    "ARRAY[$1::int]",
)


@dataclass(frozen=True, slots=True)
class RowRevision:
    """The revision of a job: its state has changed if one of these has."""

    run: int
    rev: int
    status: str  #: empty: there is no such job


UNREAD = RowRevision(-2, -2, "")  #: of a job that was not read yet


async def changed_rows(
    connection: asyncpg.Connection, tenant: int, revisions: Sequence[tuple[UUID, RowRevision]]
) -> list[tuple[RowRevision, Record]]:
    """Return the jobs of a tenant that have another revision now, as lists show them. Their number is bounded.

    The status of a job that does not exist, or is another tenant's, is None.
    """
    rows = await connection.fetch(
        _CHANGED,
        tenant,
        [job_id for job_id, _ in revisions],
        [revision.run for _, revision in revisions],
        [revision.rev for _, revision in revisions],
        [revision.status for _, revision in revisions],
    )
    return [(RowRevision(row["run"], row["rev"], row["status"] or ""), dict(row)) for row in rows]
