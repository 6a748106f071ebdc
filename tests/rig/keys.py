"""API keys of a test, stored by SQL as a creation stores them."""

from collections.abc import Iterable
from typing import Any

import httpx

from common.domain.tenancy.api_keys import ApiKeyToken
from common.domain.tenancy.scopes import Scope
from rig.system import Database, System

REQUIRED = {
    "JOBPROC_AUTHENTICATION": "required",
    "JOBPROC_KEY_REFRESH_SECONDS": "0.1",
    "JOBPROC_MAX_FAILED_AUTHENTICATIONS_PER_MINUTE": "0",  # all tests have one address; tests of the limit set it
}


def new_key(database: Database, scopes: Iterable[str] = tuple(Scope), tenant: int = 1, **columns: Any) -> str:
    """Store a key of a tenant; return its token."""
    token = ApiKeyToken.generate()
    values = {
        "id": token.id,
        "tenant": tenant,
        "name": "test",
        "created_by": "test",
        "scopes": sorted(scopes),
        "digest": token.digest,
        **columns,
    }
    names = ", ".join(values)
    database.rows(f"INSERT INTO api_keys ({names}) VALUES ({', '.join(['%s'] * len(values))})", list(values.values()))
    return token.text


def bearer(token: str) -> dict[str, str]:
    """Return the header of a request with a token."""
    return {"Authorization": f"Bearer {token}"}


def client_of(system: System, token: str) -> httpx.Client:
    """Return a client of the API that sends a token with each request."""
    return httpx.Client(base_url=system.client.base_url, timeout=15, headers=bearer(token))
