"""The first API key of an installation, with which all others are created."""

from sqlalchemy import Connection, text

from common.domain.tenancy.api_keys import ApiKeyToken
from common.domain.tenancy.scopes import Scope
from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.settings import Settings
from common.telemetry import logs

log = logs.get("migrate")
_STORE = text("""
    INSERT INTO api_keys (id, tenant, name, created_by, scopes, digest)
    VALUES (:id, :tenant, 'first', 'migration', :scopes, :digest) ON CONFLICT (id) DO NOTHING RETURNING id
""")


def store(connection: Connection, settings: Settings) -> None:
    """Store JOBPROC_FIRST_API_KEY with every scope, unless it is empty or a key has its id. The caller commits."""
    token = ApiKeyToken.parse(settings.first_api_key)
    if token is None:
        return
    values = {"id": token.id, "tenant": DEFAULT_TENANT, "scopes": sorted(Scope), "digest": token.digest}
    if connection.execute(_STORE, values).scalar() is not None:
        log.info("api_key_created", key=token.id, tenant=DEFAULT_TENANT)
