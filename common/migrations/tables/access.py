"""The tables of the first schema that decide who may do what."""

from common.migrations.tables.audit import AUDIT
from common.migrations.tables.tenants import TENANTS

# Small: each API process keeps all rows in memory and asks for the changed ones. `digest`: SHA-256 of the secret.
# `changed_in`: the transaction of the last change. A time would not do: a change made while the clock of the database
# was behind would never be read, such as a revocation.
API_KEYS = """
CREATE TABLE api_keys (
    id text NOT NULL,
    tenant integer NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_in bigint NOT NULL DEFAULT (pg_current_xact_id()::text::bigint),
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
CREATE INDEX api_keys_changed_in ON api_keys (changed_in);
CREATE INDEX api_keys_tenant_id ON api_keys (tenant, created_at, id);
"""

ACCESS = TENANTS + API_KEYS + AUDIT
