"""The tables of the first schema for what tenants use of their quotas."""

# No row is written per job. `tenant_usage` is what the leader counts, of tenants with a quota; its rows are updated in
# place (fillfactor) and only where a number has changed. `usage_counts` says when it counted. `stored_bytes` is
# append-only: the API adds a row a minute for each tenant that submits, retention adds negative ones.
USAGE = """
CREATE TABLE tenant_usage (
    tenant integer NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,
    running bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT tenant_usage_pkey PRIMARY KEY (tenant)
) WITH (fillfactor = 50);

CREATE TABLE usage_counts (
    what text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT usage_counts_pkey PRIMARY KEY (what)
) WITH (fillfactor = 20);

CREATE TABLE stored_bytes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    hour timestamptz NOT NULL,
    bytes bigint NOT NULL,
    tenant integer NOT NULL,
    CONSTRAINT stored_bytes_pkey PRIMARY KEY (id)
);
"""
