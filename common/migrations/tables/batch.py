"""The tables of the first schema for batches and workflows. A batch has one row, which no end of a job changes."""

BATCHES = """
CREATE TABLE batches (
    id uuid NOT NULL,
    last uuid NOT NULL,
    place uuid NOT NULL,
    frontier uuid,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    ended_at timestamptz,
    cancelled_at timestamptz,
    jobs bigint NOT NULL DEFAULT 0,
    numbers bigint NOT NULL DEFAULT 0,
    failed bigint,
    cancelled bigint,
    gone bigint NOT NULL DEFAULT 0,
    gone_failed bigint NOT NULL DEFAULT 0,
    gone_cancelled bigint NOT NULL DEFAULT 0,
    rev bigint NOT NULL DEFAULT 0,
    follow_up_job uuid,
    cancel_action uuid,
    tenant integer NOT NULL DEFAULT 1,
    retried boolean NOT NULL DEFAULT false,
    is_workflow boolean NOT NULL DEFAULT false,
    submitted_by text,
    follow_up json,
    webhook uuid,
    CONSTRAINT batches_pkey PRIMARY KEY (id),
    CONSTRAINT batches_numbers_range CHECK (jobs BETWEEN 0 AND numbers AND numbers < 4294967296),
    CONSTRAINT batches_ended_is_closed CHECK (ended_at IS NULL OR closed_at IS NOT NULL),
    CONSTRAINT batches_counts_together CHECK ((failed IS NULL) = (cancelled IS NULL))
) WITH (fillfactor = 50);
CREATE INDEX batches_active ON batches (id) WHERE failed IS NULL;
CREATE INDEX batches_tenant_id ON batches (tenant, id);
"""

# A job that waits for one which has added jobs to its workflow waits for these too.
WORKFLOWS = """
CREATE TABLE added_parents (
    child uuid NOT NULL,
    adder uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    parents uuid[] NOT NULL,
    CONSTRAINT added_parents_pkey PRIMARY KEY (child, adder)
);
"""
