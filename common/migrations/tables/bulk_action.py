"""The tables of the first schema for bulk actions."""

BULK_ACTIONS = """
CREATE TABLE bulk_actions (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    stepped_at timestamptz,
    as_of timestamptz NOT NULL,
    position uuid,
    locked uuid[] NOT NULL DEFAULT '{}',
    count bigint NOT NULL,
    matched bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    cancels_requested bigint NOT NULL DEFAULT 0,
    undone bigint NOT NULL DEFAULT 0,
    jobs_per_second integer NOT NULL,
    priority smallint,
    count_is_exact boolean NOT NULL,
    kind text NOT NULL,
    phase text NOT NULL DEFAULT 'PREVIEW',
    filter json NOT NULL,
    sample json NOT NULL,
    skipped json NOT NULL,
    not_undone json NOT NULL,
    error text,
    CONSTRAINT bulk_actions_pkey PRIMARY KEY (id),
    CONSTRAINT bulk_actions_kind_known CHECK (kind IN ('cancel', 'retry', 'reprioritise')),
    CONSTRAINT bulk_actions_phase_known CHECK (
        phase IN ('PREVIEW', 'RUNNING', 'STOPPED', 'DONE', 'UNDOING', 'UNDONE', 'EXPIRED')),
    CONSTRAINT bulk_actions_priority_range CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT bulk_actions_reprioritise_has_priority CHECK ((kind = 'reprioritise') = (priority IS NOT NULL))
);
CREATE INDEX bulk_actions_active ON bulk_actions (id) WHERE phase IN ('RUNNING', 'UNDOING');
CREATE INDEX bulk_actions_previews ON bulk_actions (tenant, created_at) WHERE phase = 'PREVIEW';
CREATE INDEX bulk_actions_tenant_id ON bulk_actions (tenant, id);

CREATE TABLE bulk_action_jobs (
    bulk_action uuid NOT NULL,
    id uuid NOT NULL,
    claimable_at timestamptz,
    tenant integer NOT NULL DEFAULT 1,
    run smallint NOT NULL,
    priority smallint,
    crashes smallint,
    isolated boolean,
    needs text,
    CONSTRAINT bulk_action_jobs_pkey PRIMARY KEY (bulk_action, id)
);
"""
