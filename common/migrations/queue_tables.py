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
    concurrency integer,
    in_force boolean GENERATED ALWAYS AS (num_nonnulls(paused_at, concurrency, rate) > 0) STORED,
    changed_by text,
    CONSTRAINT queue_policies_pkey PRIMARY KEY (queue, tenant),
    CONSTRAINT queue_policies_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT queue_policies_rate_positive CHECK (rate > 0),
    CONSTRAINT queue_policies_rate_has_burst CHECK ((rate IS NULL) = (burst IS NULL) AND burst >= 1)
) WITH (fillfactor = 20);

CREATE TABLE queue_slots (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    n integer NOT NULL,
    worker bigint,
    CONSTRAINT queue_slots_pkey PRIMARY KEY (queue, tenant, n)
) WITH (fillfactor = 20);
"""
