"""The tables of the first schema for webhooks. A delivery is a job, so it has no table."""

WEBHOOKS = """
CREATE TABLE webhook_endpoints (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rev bigint NOT NULL DEFAULT 1,
    tenant integer NOT NULL DEFAULT 1,
    max_attempts smallint NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    failing_since timestamptz,
    open_until timestamptz,
    last_success_at timestamptz,
    last_failure_at timestamptz,
    disabled_at timestamptz,
    is_default boolean NOT NULL DEFAULT false,
    include_result boolean NOT NULL DEFAULT false,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    events text[],
    created_by text,
    disabled_reason text,
    last_failure text,
    CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
    CONSTRAINT webhook_endpoints_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT webhook_endpoints_disabled_together CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);
CREATE INDEX webhook_endpoints_tenant_id ON webhook_endpoints (tenant, id);
CREATE UNIQUE INDEX webhook_endpoints_default ON webhook_endpoints (tenant) WHERE is_default;

CREATE TABLE webhook_secrets (
    endpoint uuid NOT NULL,
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz,
    secret bytea NOT NULL,
    CONSTRAINT webhook_secrets_pkey PRIMARY KEY (endpoint, id)
);

CREATE TABLE webhook_sweeps (
    tenant integer NOT NULL,
    place timestamptz NOT NULL,
    CONSTRAINT webhook_sweeps_pkey PRIMARY KEY (tenant)
);
"""
