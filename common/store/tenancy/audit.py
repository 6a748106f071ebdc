"""The audit log. An entry is stored in the transaction of the change that it describes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Connection

from common.domain.job import first_job_id
from common.domain.tenancy.audit import AuditEntry
from common.store.connection.caller import caller_cte

SCANNED = 20_000  # entries that one page reads at most
# The tenant of an entry is the one for which its caller acts, so the statement sets it.
_INSERT = f"""
WITH {caller_cte("ARRAY[$2::int]")}
INSERT INTO audit_entries (id, tenant, subject, address, request_id, action, thing, details)
SELECT $1, $2, $3, $4, $5, $6, $7, $8::text::json FROM caller ON CONFLICT (tenant, id) DO NOTHING
"""
_PAGE = f"""
WITH scanned AS MATERIALIZED (
    SELECT * FROM audit_entries WHERE tenant = $1 AND id < $2 AND id >= $3 ORDER BY id DESC LIMIT {SCANNED})
SELECT id, at, subject, address, request_id, action, thing, details::text,
       (SELECT id FROM scanned ORDER BY id LIMIT 1) AS last_scanned, (SELECT count(*) FROM scanned) AS scanned
FROM (VALUES (1)) AS single(n)
LEFT JOIN LATERAL (
    SELECT * FROM scanned
    WHERE ($4::text IS NULL OR action = $4) AND ($5::text IS NULL OR subject = $5) AND ($6::text IS NULL OR thing = $6)
    ORDER BY id DESC LIMIT $7) matching ON true
"""
_LAST = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class AuditSearch:
    """Which entries a page has. None: all."""

    tenant: int
    action: str | None = None
    subject: str | None = None
    thing: str | None = None
    after: datetime | None = None  #: entries at this time or later
    before: datetime | None = None  #: entries before this time


def values(entry: AuditEntry) -> tuple[object, ...]:
    """Return the arguments of the statement that stores an entry."""
    return (
        entry.id,
        entry.tenant,
        entry.subject,
        entry.address,
        entry.request_id,
        entry.action,
        entry.thing,
        orjson.dumps(entry.details).decode(),
    )


async def record(connection: asyncpg.Connection, entry: AuditEntry) -> None:
    """Store an entry, in the caller's transaction. Safe to repeat."""
    await connection.execute(_INSERT, *values(entry))


def record_sync(connection: Connection, entry: AuditEntry) -> None:
    """Store an entry, in the caller's transaction. Safe to repeat."""
    connection.exec_driver_sql(_INSERT, values(entry))


async def page(
    connection: asyncpg.Connection, search: AuditSearch, position: UUID | None, limit: int
) -> tuple[list[dict[str, Any]], UUID | None]:
    """Return up to `limit` entries that match, newest first, and the position of the next page; None: the last one.

    In a transaction that is the tenant's. `position`: entries before this one; None: the newest. A page reads at most
    SCANNED entries.
    """
    upper = position or (_LAST if search.before is None else first_job_id(_unix_ms(search.before)))
    lower = first_job_id(0 if search.after is None else _unix_ms(search.after))
    rows = await connection.fetch(
        _PAGE, search.tenant, upper, lower, search.action, search.subject, search.thing, limit
    )
    entries = [dict(row) for row in rows if row["id"] is not None]
    if len(entries) == limit:
        return entries, entries[-1]["id"]
    return entries, rows[0]["last_scanned"] if rows[0]["scanned"] == SCANNED else None


def _unix_ms(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1000))
