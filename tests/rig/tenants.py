"""Tenants of a test, stored by SQL as `POST /tenants` stores them."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import httpx

from common.domain.tenancy.scopes import Scope
from rig.keys import client_of, new_key
from rig.system import Database, System

#: What a client of a tenant may do: everything but what operators do.
CLIENT_SCOPES = tuple(scope for scope in Scope if scope is not Scope.ADMIN)


class TenantClient(NamedTuple):
    """A tenant and a client with a key of it."""

    tenant: int
    client: httpx.Client

    def submit(self, operation: str = "square_sum", **options: object) -> str:
        """Submit a job and return its id."""
        response = self.client.post("/jobs/", json={"operation": operation, "data": [1, 2]} | options)
        assert response.status_code == 202, response.text
        return str(response.json()["job_id"])

    def wait(self, job_id: str) -> dict[str, object]:
        """Wait until a job has ended and return its result."""
        response = self.client.get(f"/jobs/{job_id}/result?wait=20")
        assert response.status_code == 200, response.text
        return dict(response.json())


def new_tenant(database: Database, name: str, state: str = "ACTIVE") -> int:
    """Store a tenant; return its number."""
    return int(database.value("INSERT INTO tenants (name, state) VALUES (%s, %s) RETURNING id", (name, state)))


@contextlib.contextmanager
def tenant_client(system: System, name: str, scopes: Iterable[str] = CLIENT_SCOPES) -> Iterator[TenantClient]:
    """Yield a client of a new tenant."""
    tenant = new_tenant(system.database, name)
    with client_of(system, new_key(system.database, scopes, tenant)) as client:
        yield TenantClient(tenant, client)
