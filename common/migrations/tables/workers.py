"""The tables of the first schema for workers, leaders and operations."""

WORKERS = """
CREATE TABLE workers (
    id bigint GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alive_until timestamptz NOT NULL,
    ended_at timestamptz,
    busy_since timestamptz,
    pid integer NOT NULL,
    held_jobs smallint NOT NULL DEFAULT 0,
    host text NOT NULL,
    queues text[] NOT NULL,
    operations text[] NOT NULL,
    low_water_marks jsonb NOT NULL DEFAULT '{}',
    line_marks jsonb NOT NULL DEFAULT '{}',
    finished_by_minute jsonb NOT NULL DEFAULT '{}',
    CONSTRAINT workers_pkey PRIMARY KEY (id)
) WITH (fillfactor = 20);

CREATE TABLE leaders (
    name text NOT NULL,
    holder text NOT NULL,
    term bigint NOT NULL,
    until timestamptz NOT NULL,
    CONSTRAINT leaders_pkey PRIMARY KEY (name)
);

CREATE TABLE operations (
    name text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_base_s double precision NOT NULL,
    retry_cap_s double precision NOT NULL,
    timeout_ms integer,
    max_attempts smallint NOT NULL,
    queue text NOT NULL,
    description text NOT NULL,
    input_schema jsonb NOT NULL,
    version smallint NOT NULL DEFAULT 1,
    oldest_version smallint NOT NULL DEFAULT 1,
    queues text[] NOT NULL,
    output_schema jsonb NOT NULL,
    CONSTRAINT operations_pkey PRIMARY KEY (name),
    CONSTRAINT operations_name_form CHECK (name ~ '^[a-z0-9_.]{1,64}$')
);
"""
