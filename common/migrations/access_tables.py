"""The tables of the first schema that decide who may do what."""

from common.migrations.audit_table import AUDIT
from common.migrations.tenants_table import TENANTS

# Small: each API process keeps all rows in memory and asks for the changed ones. `digest`: SHA-256 of the secret.
API_KEYS = """
CREATE TABLE api_keys (
    id text NOT NULL,
    tenant integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    name text NOT NULL,
    created_by text NOT NULL,
    scopes text[] NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT api_keys_pkey PRIMARY KEY (id),
    CONSTRAINT api_keys_id_form CHECK (id ~ '^[0-9A-Za-z]{12}$'),
    CONSTRAINT api_keys_digest_size CHECK (octet_length(digest) = 32)
);
CREATE INDEX api_keys_changed_at ON api_keys (changed_at);
CREATE INDEX api_keys_tenant_id ON api_keys (tenant, created_at, id);
"""

ACCESS = TENANTS + API_KEYS + AUDIT
