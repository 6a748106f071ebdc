"""Tenants, as each API process keeps them in memory."""

import asyncpg

from common.domain.tenants import Tenant, TenantState

_ALL = "SELECT id, name, state FROM tenants"


async def read_all(connection: asyncpg.Connection) -> list[Tenant]:
    """Return all tenants."""
    return [Tenant(row["id"], row["name"], TenantState(row["state"])) for row in await connection.fetch(_ALL)]
