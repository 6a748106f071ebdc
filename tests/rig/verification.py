"""The verification of tokens of a test's OpenID provider, in the process of the test."""

import asyncio
from typing import Any

from prometheus_client import CollectorRegistry

from api.auth.directory import Directory
from api.auth.openid.provider import Provider
from api.auth.openid.tokens import TokenVerification
from api.auth.principal import Principal
from common.domain.tenancy.tenants import Tenant
from common.settings import Settings
from common.store.connection.asyncpg_pool import DatabasePool
from rig.issuer import AUDIENCE, Issuer

TENANTS = (Tenant(1, "default"), Tenant(2, "acme"))


def verification(
    issuer: Issuer, registry: CollectorRegistry | None = None, tenants: tuple[Tenant, ...] = TENANTS, **settings: Any
) -> TokenVerification:
    """Return the verification of an issuer's tokens, with further settings."""
    read = Settings(**{"oidc_issuer": issuer.url, "oidc_audiences": AUDIENCE, **settings})
    directory = Directory(read, DatabasePool(read))
    directory.tenants = {tenant.id: tenant for tenant in tenants}
    directory.tenants_by_name = {tenant.name: tenant for tenant in tenants}
    return TokenVerification(read, directory, Provider(read, registry or CollectorRegistry()))


def principal(issuer: Issuer, token: str, **settings: Any) -> Principal:
    """Return the caller of one token. Raises what the verification raises."""

    async def run() -> Principal:
        verifies = verification(issuer, **settings)
        try:
            return await verifies.principal(token)
        finally:
            await verifies.close()

    return asyncio.run(run())
