"""API keys: what each API process keeps in memory, and their list."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from common.domain.tenancy.api_keys import ApiKey
from common.domain.tenancy.scopes import Scope

COLUMNS = "id, tenant, name, scopes, digest, created_at, expires_at, revoked_at, last_used_at, created_by"
# The oldest transaction that goes on. The changes of all that are older can be seen.
_READ_TO = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_ALL = f"SELECT {COLUMNS} FROM api_keys"
# Rows that were restored from another cluster may be of transactions that this one has not had yet.
_CHANGED = f"""
{_ALL} WHERE changed_in >= $1 AND changed_in < pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
_PAGE = f"""
SELECT {COLUMNS} FROM api_keys
WHERE tenant = $1 AND ($2::text IS NULL
                       OR (created_at, id) > (SELECT created_at, id FROM api_keys WHERE tenant = $1 AND id = $2))
ORDER BY created_at, id LIMIT $3
"""
# Not `changed_in`: no process needs to read it.
_USED = """
UPDATE api_keys SET last_used_at = d.at FROM unnest($1::text[], $2::timestamptz[]) AS d(id, at)
WHERE api_keys.id = d.id AND (last_used_at IS NULL OR last_used_at < d.at)
"""


async def changed(connection: asyncpg.Connection, since: int | None) -> tuple[list[ApiKey], int]:
    """Return the keys that have changed since an earlier read, and the transaction from which the next one goes on.

    `since`: what the earlier read has returned; None: return all keys.
    """
    read_to = await connection.fetchval(_READ_TO)
    rows = await (connection.fetch(_ALL) if since is None else connection.fetch(_CHANGED, since))
    return [key_of(row) for row in rows], read_to


async def page(connection: asyncpg.Connection, tenant: int, after: str | None, limit: int) -> list[ApiKey]:
    """Return up to `limit` keys of a tenant, oldest first, after the one with an id (None: from the first on)."""
    return [key_of(row) for row in await connection.fetch(_PAGE, tenant, after, limit)]


async def record_uses(connection: asyncpg.Connection, uses: Sequence[tuple[str, datetime]]) -> None:
    """Store when keys (by id) were last used."""
    await connection.execute(_USED, [key_id for key_id, _ in uses], [at for _, at in uses])


def key_of(row: asyncpg.Record) -> ApiKey:
    """Return the key of a row with COLUMNS."""
    scopes = frozenset(Scope(name) for name in row["scopes"] if name in set(Scope))  # a newer version may have others
    return ApiKey(**{**{name: row[name] for name in COLUMNS.split(", ")}, "scopes": scopes})
