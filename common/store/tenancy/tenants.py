"""Tenants: what each API process keeps in memory, and the changes that operators make."""

from collections.abc import Mapping

import asyncpg

from common.domain.errors import DefaultTenant, TenantExists, TenantIsRemoved, TenantNotFound, TooManyTenants
from common.domain.tenancy.tenants import (
    DEFAULT_TENANT,
    NOT_OF_DEFAULT,
    QUOTAS,
    STATE_AFTER,
    Tenant,
    TenantRequest,
    TenantState,
)

_CHANGEABLE = ("weight", *QUOTAS)
COLUMNS = ", ".join(("id", "name", "state", "created_at", "changed_at", *_CHANGEABLE))
_ALL = f"SELECT {COLUMNS} FROM tenants"
_ONE = f"{_ALL} WHERE name = $1"
_PAGE = f"{_ALL} WHERE $1::text IS NULL OR name > $1 ORDER BY name LIMIT $2"
_LOCK = f"{_ONE} FOR UPDATE"
_VALUES = ", ".join(f"${number}" for number in range(2, 2 + len(_CHANGEABLE)))
# Two requests at once may pass the limit by one.
_CREATE = f"""
INSERT INTO tenants (name, {", ".join(_CHANGEABLE)}) SELECT $1, {_VALUES}
WHERE ${2 + len(_CHANGEABLE)}::bigint > (SELECT count(*) FROM tenants)
ON CONFLICT (name) DO NOTHING RETURNING {COLUMNS}
"""
_CHANGE = f"""
UPDATE tenants SET ({", ".join(_CHANGEABLE)}, changed_at) = ({_VALUES}, clock_timestamp())
WHERE id = $1 RETURNING {COLUMNS}
"""
_SET_STATE = f"UPDATE tenants SET state = $2, changed_at = clock_timestamp() WHERE id = $1 RETURNING {COLUMNS}"
_REVOKE_KEYS = """
UPDATE api_keys SET revoked_at = clock_timestamp(), changed_in = pg_current_xact_id()::text::bigint
WHERE tenant = $1 AND revoked_at IS NULL
"""


async def read_all(connection: asyncpg.Connection) -> list[Tenant]:
    """Return all tenants."""
    return [_tenant(row) for row in await connection.fetch(_ALL)]


async def page(connection: asyncpg.Connection, after: str | None, limit: int) -> list[Tenant]:
    """Return up to `limit` tenants by name, after a name (None: from the first on)."""
    return [_tenant(row) for row in await connection.fetch(_PAGE, after, limit)]


async def read(connection: asyncpg.Connection, name: str) -> Tenant:
    """Return a tenant. Raises TenantNotFound."""
    return _found(await connection.fetchrow(_ONE, name))


async def create(
    connection: asyncpg.Connection, name: str, values: Mapping[str, float | None], max_tenants: int
) -> Tenant:
    """Store a tenant with its weight and quotas. Raises TenantExists, or TooManyTenants if there are `max_tenants`."""
    arguments = [values.get(column) for column in QUOTAS]
    row = await connection.fetchrow(_CREATE, name, values.get("weight", 1.0), *arguments, max_tenants)
    if row is not None:
        return _tenant(row)
    if await connection.fetchrow(_ONE, name) is not None:
        raise TenantExists
    raise TooManyTenants(max_tenants)


async def change(connection: asyncpg.Connection, name: str, values: Mapping[str, float | None]) -> Tenant:
    """Change weight and quotas of a tenant, those that `values` has. Raises TenantNotFound or TenantIsRemoved."""
    async with connection.transaction():
        before = await _lock(connection, name)
        arguments = [values.get(column, getattr(before, column)) for column in _CHANGEABLE]
        return _found(await connection.fetchrow(_CHANGE, before.id, *arguments))


async def request(connection: asyncpg.Connection, name: str, verb: TenantRequest) -> tuple[Tenant, bool]:
    """Suspend, resume, drain or remove a tenant; return it, and True if its state changed. Safe to repeat.

    A removal revokes its API keys; the controller then deletes what it has. Raises TenantNotFound, TenantIsRemoved or
    DefaultTenant.
    """
    async with connection.transaction():
        before = await _lock(connection, name, may_be_removed=verb is TenantRequest.REMOVE)
        if before.id == DEFAULT_TENANT and verb in NOT_OF_DEFAULT:
            raise DefaultTenant
        after = STATE_AFTER[verb]
        if before.state is after:
            return before, False
        if after is TenantState.REMOVING:
            await connection.execute(_REVOKE_KEYS, before.id)
        return _found(await connection.fetchrow(_SET_STATE, before.id, after)), True


async def _lock(connection: asyncpg.Connection, name: str, *, may_be_removed: bool = False) -> Tenant:
    tenant = _found(await connection.fetchrow(_LOCK, name))
    if tenant.state is TenantState.REMOVING and not may_be_removed:
        raise TenantIsRemoved
    return tenant


def _found(row: asyncpg.Record | None) -> Tenant:
    if row is None:
        raise TenantNotFound
    return _tenant(row)


def _tenant(row: asyncpg.Record) -> Tenant:
    return Tenant(**{**dict(row), "state": TenantState(row["state"])})
