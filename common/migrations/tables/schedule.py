"""The tables of the first schema for schedules."""

SCHEDULES = """
CREATE TABLE schedules (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    rev bigint NOT NULL DEFAULT 1,
    tenant integer NOT NULL DEFAULT 1,
    catch_up_max_runs integer NOT NULL,
    catch_up_within_s double precision NOT NULL,
    jitter_s double precision NOT NULL,
    every_s double precision,
    at timestamptz,
    starts_at timestamptz,
    ends_at timestamptz,
    next_at timestamptz,
    due_at timestamptz,
    pending_at timestamptz,
    last_at timestamptz,
    last_job uuid,
    managed boolean NOT NULL DEFAULT false,
    paused boolean NOT NULL DEFAULT false,
    name text NOT NULL,
    created_by text,
    cron text,
    zone text NOT NULL,
    overlap text NOT NULL,
    catch_up text NOT NULL,
    job json NOT NULL,
    CONSTRAINT schedules_pkey PRIMARY KEY (id),
    CONSTRAINT schedules_tenant_name_key UNIQUE (tenant, name),
    CONSTRAINT schedules_one_timing CHECK (num_nonnulls(cron, every_s, at) = 1),
    CONSTRAINT schedules_every_positive CHECK (every_s > 0),
    CONSTRAINT schedules_overlap_known CHECK (overlap IN ('allow', 'skip', 'queue', 'cancel_old')),
    CONSTRAINT schedules_catch_up_known CHECK (catch_up IN ('none', 'last', 'all'))
);
CREATE INDEX schedules_due ON schedules (due_at) WHERE NOT paused;

CREATE TABLE schedule_fires (
    schedule uuid NOT NULL,
    at timestamptz NOT NULL,
    fired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant integer NOT NULL DEFAULT 1,
    through timestamptz,
    job uuid,
    outcome text NOT NULL,
    reason text,
    CONSTRAINT schedule_fires_pkey PRIMARY KEY (schedule, at),
    CONSTRAINT schedule_fires_outcome_known CHECK (outcome IN ('fired', 'skipped', 'missed', 'refused')),
    CONSTRAINT schedule_fires_fired_has_job CHECK ((outcome = 'fired') = (job IS NOT NULL))
);
CREATE INDEX schedule_fires_fired_at ON schedule_fires (fired_at);
CREATE INDEX schedule_fires_tenant ON schedule_fires (tenant) WHERE tenant <> 1;
"""
