"""The table of the first schema for tenants, with the one that is there from the start."""

TENANTS = """
CREATE TABLE tenants (
    id integer GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    state text NOT NULL DEFAULT 'ACTIVE',
    weight real NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    max_waiting_jobs bigint,
    max_running_jobs integer,
    max_jobs_per_minute integer,
    max_stored_bytes bigint,
    max_webhooks integer,
    max_schedules integer,
    CONSTRAINT tenants_pkey PRIMARY KEY (id),
    CONSTRAINT tenants_name_key UNIQUE (name),
    CONSTRAINT tenants_state_known CHECK (state IN ('ACTIVE', 'SUSPENDED', 'DRAINING', 'REMOVING')),
    CONSTRAINT tenants_weight_range CHECK (weight > 0 AND weight <= 1000)
);
INSERT INTO tenants (name) VALUES ('default');
"""
