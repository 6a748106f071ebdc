"""Changes of API keys: create, rotate, revoke. Each is one transaction."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from common.domain.errors import KeyNotFound, TooManyKeys
from common.domain.tenancy.api_keys import ApiKey, ApiKeyToken
from common.domain.tenancy.scopes import Scope
from common.store.tenancy.api_keys import COLUMNS, key_of

# Two requests at once may pass the limit by one.
_CREATE = f"""
INSERT INTO api_keys (id, tenant, name, scopes, digest, created_by, expires_at)
SELECT $1, $2, $3, $4, $5, $6, coalesce($8::timestamptz, clock_timestamp() + $7::float8 * interval '1 s')
WHERE $9::bigint > (SELECT count(*) FROM api_keys
            WHERE tenant = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()))
RETURNING {COLUMNS}
"""
_LOCK = f"SELECT {COLUMNS} FROM api_keys WHERE tenant = $1 AND id = $2 FOR UPDATE"
_REVOKE = f"""
UPDATE api_keys
SET revoked_at = coalesce(revoked_at, clock_timestamp()), changed_in = pg_current_xact_id()::text::bigint
WHERE tenant = $1 AND id = $2 RETURNING {COLUMNS}
"""
_EXPIRE = f"""
UPDATE api_keys
SET expires_at = least(expires_at, clock_timestamp() + $2 * interval '1 s'),
    changed_in = pg_current_xact_id()::text::bigint
WHERE id = $1 RETURNING {COLUMNS}
"""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that is to be stored, with its token."""

    token: ApiKeyToken
    tenant: int
    name: str
    scopes: frozenset[Scope]
    created_by: str
    expires_in_s: float | None = None
    expires_at: datetime | None = None  #: instead of `expires_in_s`

    @classmethod
    def generate(
        cls, tenant: int, name: str, scopes: frozenset[Scope], created_by: str, expires_in_s: float | None
    ) -> "NewKey":
        """Return a key with a new token. `expires_in_s`: its seconds from its creation; None: it never expires."""
        return cls(ApiKeyToken.generate(), tenant, name, scopes, created_by, expires_in_s)


@dataclass(frozen=True, slots=True)
class Rotation:
    """A key and its successor."""

    old: ApiKey
    new: ApiKey
    token: ApiKeyToken  #: of the new key


async def create(connection: asyncpg.Connection, new: NewKey, max_keys: int) -> ApiKey:
    """Store a key; safe to repeat only with another token. Raises TooManyKeys if the tenant has `max_keys`."""
    row = await connection.fetchrow(
        _CREATE,
        new.token.id,
        new.tenant,
        new.name,
        sorted(new.scopes),
        new.token.digest,
        new.created_by,
        new.expires_in_s,
        new.expires_at,
        max_keys,
    )
    if row is None:
        raise TooManyKeys(max_keys)
    return key_of(row)


async def lock(connection: asyncpg.Connection, tenant: int, key_id: str) -> ApiKey:
    """Return a key that is not revoked, locked until the caller's transaction ends. Raises KeyNotFound."""
    row = await connection.fetchrow(_LOCK, tenant, key_id)
    if row is None or row["revoked_at"] is not None:
        raise KeyNotFound
    return key_of(row)


async def replace(
    connection: asyncpg.Connection, old: ApiKey, created_by: str, overlap_s: float, max_keys: int
) -> Rotation:
    """Store a successor of a locked key, which then expires in `overlap_s` seconds at the latest.

    In the caller's transaction. Raises TooManyKeys.
    """
    new = NewKey(ApiKeyToken.generate(), old.tenant, old.name, old.scopes, created_by, expires_at=old.expires_at)
    stored = await create(connection, new, max_keys)
    (row,) = await connection.fetch(_EXPIRE, old.id, overlap_s)
    return Rotation(key_of(row), stored, new.token)


async def revoke(connection: asyncpg.Connection, tenant: int, key_id: str) -> ApiKey:
    """Revoke a key; one that is revoked stays so. Raises KeyNotFound."""
    row = await connection.fetchrow(_REVOKE, tenant, key_id)
    if row is None:
        raise KeyNotFound
    return key_of(row)
