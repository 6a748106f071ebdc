"""The tables of the first schema for policies of queues. A queue without a policy has no row."""

QUEUES = """
CREATE TABLE queue_policies (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    rev bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz,
    rate double precision,
    burst double precision,
    tokens double precision NOT NULL DEFAULT 0,
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    key_rate double precision,
    key_burst double precision,
    concurrency integer,
    key_concurrency integer,
    events boolean NOT NULL DEFAULT false,
    in_force boolean GENERATED ALWAYS AS (
        num_nonnulls(paused_at, concurrency, rate, key_concurrency, key_rate) > 0) STORED,
    changed_by text,
    CONSTRAINT queue_policies_pkey PRIMARY KEY (queue, tenant),
    CONSTRAINT queue_policies_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT queue_policies_rate_positive CHECK (rate > 0),
    CONSTRAINT queue_policies_rate_has_burst CHECK ((rate IS NULL) = (burst IS NULL) AND burst >= 1),
    CONSTRAINT queue_policies_key_concurrency_positive CHECK (key_concurrency > 0),
    CONSTRAINT queue_policies_key_rate_positive CHECK (key_rate > 0),
    CONSTRAINT queue_policies_key_rate_has_burst CHECK ((key_rate IS NULL) = (key_burst IS NULL) AND key_burst >= 1)
) WITH (fillfactor = 20);

CREATE TABLE queue_slots (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    n integer NOT NULL,
    worker bigint,
    CONSTRAINT queue_slots_pkey PRIMARY KEY (queue, tenant, n)
) WITH (fillfactor = 20);

CREATE TABLE concurrency_keys (
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tokens double precision,
    tenant integer NOT NULL DEFAULT 1,
    queue text NOT NULL,
    key text NOT NULL,
    ids uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT concurrency_keys_pkey PRIMARY KEY (tenant, queue, key)
) WITH (fillfactor = 50);
CREATE INDEX concurrency_keys_filled_at ON concurrency_keys (filled_at);
"""
