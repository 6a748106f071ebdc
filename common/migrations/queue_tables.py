"""The tables of the first schema for policies of queues. A queue without a policy has no row."""

QUEUES = """
CREATE TABLE queue_policies (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    rev bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz,
    in_force boolean GENERATED ALWAYS AS (paused_at IS NOT NULL) STORED,
    changed_by text,
    CONSTRAINT queue_policies_pkey PRIMARY KEY (queue, tenant)
) WITH (fillfactor = 20);
"""
