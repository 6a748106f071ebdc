"""Requests that make the API send each documented example of a response about tenants, keys and the audit log."""

import uuid

import httpx
from integration.api.support.documented_examples import Operation, body_examples
from integration.api.support.example_client import ExampleClient, Provoke
from rig.tenants import new_tenant

from api.auth.access import TENANT_HEADER
from common.domain.tenancy.tenants import DEFAULT_TENANT_NAME, STATE_AFTER

UNUSED_KEY_ID = "000000000000"
MAX_KEYS, MAX_TENANTS = 1_000, 10_000  # the defaults of the settings
KEYS = """INSERT INTO api_keys (id, tenant, name, created_by, scopes, digest)
    SELECT lpad(n::text, 12, 'k'), %s, 'test', 'test', '{jobs:read}', sha256(n::text::bytea)
    FROM generate_series(1, %s) n"""
TENANTS = "INSERT INTO tenants (name) SELECT 'one-of-many-' || n FROM generate_series(1, %s) n"


def request_audit_log(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Request the audit log, whose newest entry is of a cancel."""
    client.cancelled_job()
    return client.send(operation)


def request_one_key_more(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Create or rotate a key of a tenant that has as many as it may have."""
    name = f"crowded-{uuid.uuid4().hex}"
    client.system.database.rows(KEYS, (new_tenant(client.system.database, name), MAX_KEYS))
    try:
        return client.send(operation, "kkkkkkkkkkk1", json=body_examples(operation)[0], headers={TENANT_HEADER: name})
    finally:
        client.system.database.rows("DELETE FROM api_keys WHERE id LIKE 'kkkkkkkk%'")


def request_one_tenant_more(client: ExampleClient, operation: Operation) -> httpx.Response:
    """Create a tenant where there are as many as there may be."""
    client.system.database.rows(TENANTS, (MAX_TENANTS,))
    try:
        return client.send(operation, json={"name": "one-too-many"})
    finally:
        client.system.database.rows("DELETE FROM tenants WHERE name LIKE 'one-of-many-%'")


#: By the name of an example, or by path and name, as in `example_client.PROVOKED`.
PROVOKED: dict[str | tuple[str, str], Provoke] = {
    # successes
    **dict.fromkeys(
        ("key created", "key rotated", "key revoked", "tenant", "tenant changed", "usage"),
        lambda client, operation: client.send(
            operation, client.row_for(operation), json=next(iter(body_examples(operation)), None)
        ),
    ),
    "keys": lambda client, operation: client.send(operation, client.key()),
    ("/console/session", ""): lambda client, operation: client.send(operation),  # nobody needs to sign in
    "entries": request_audit_log,
    "tenant created": lambda client, operation: client.send(operation, json={"name": f"acme-{uuid.uuid4().hex}"}),
    "tenants": lambda client, operation: client.send(operation, params={"limit": 1}),
    **{
        f"tenant {state.lower()}": lambda client, operation: client.send(operation, client.tenant())
        for state in STATE_AFTER.values()
    },
    # problems
    **{
        (path, "invalid-body"): lambda client, operation: client.send(
            operation, client.row_for(operation), json={"nothing": 1}
        )
        for path in ("/keys/{key_id}/rotate", "/tenants/{tenant_name}")
    },
    "key-not-found": lambda client, operation: client.send(operation, UNUSED_KEY_ID),
    "too-many-keys": request_one_key_more,
    "tenant-not-found": lambda client, operation: client.send(
        operation, "nobody", json=next(iter(body_examples(operation)), None)
    ),
    "tenant-exists": lambda client, operation: client.send(operation, json={"name": client.tenant()}),
    "tenant-removing": lambda client, operation: client.send(
        operation, client.tenant("remove"), json=next(iter(body_examples(operation)), None)
    ),
    "too-many-tenants": request_one_tenant_more,
    "default-tenant": lambda client, operation: client.send(operation, DEFAULT_TENANT_NAME),
}
