"""Jobs, live rows, outcomes, attempts, workers, leaders, operations; the view of states.

phase: expand
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE jobs (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    run_at timestamptz,
    tenant integer NOT NULL DEFAULT 1,
    timeout_ms integer,
    priority smallint NOT NULL DEFAULT 5,
    max_attempts smallint NOT NULL,
    queue text NOT NULL,
    operation text NOT NULL,
    trace text,
    input json NOT NULL,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_priority_range CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT jobs_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT jobs_timeout_positive CHECK (timeout_ms > 0)
) PARTITION BY RANGE (id);

CREATE TABLE live (
    id uuid NOT NULL,
    pos timestamptz NOT NULL,
    started_at timestamptz,
    worker bigint,
    rev bigint NOT NULL DEFAULT 0,
    tenant integer NOT NULL DEFAULT 1,
    progress double precision,
    priority smallint NOT NULL DEFAULT 5,
    attempt smallint NOT NULL DEFAULT 0,
    released smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL,
    epoch smallint NOT NULL DEFAULT 0,
    cancel boolean NOT NULL DEFAULT false,
    queue text NOT NULL,
    progress_text text,
    CONSTRAINT live_pkey PRIMARY KEY (id),
    CONSTRAINT live_held_has_start CHECK ((worker IS NULL) = (started_at IS NULL)),
    CONSTRAINT live_attempt_range CHECK (attempt >= 0 AND released BETWEEN 0 AND attempt),
    CONSTRAINT live_progress_range CHECK (progress BETWEEN 0 AND 1)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX live_due ON live (queue, priority, pos, id);

CREATE TABLE outcomes (
    id uuid NOT NULL,
    epoch smallint NOT NULL,
    attempt smallint NOT NULL,
    released smallint NOT NULL,
    rev bigint NOT NULL,
    worker bigint,
    started_at timestamptz,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    status text NOT NULL,
    result json,
    error_type text,
    error_text text,
    CONSTRAINT outcomes_pkey PRIMARY KEY (id, epoch),
    CONSTRAINT outcomes_status_known CHECK (status IN ('SUCCESS', 'FAILED', 'CANCELLED')),
    CONSTRAINT outcomes_success_has_result CHECK ((status = 'SUCCESS') = (result IS NOT NULL)),
    CONSTRAINT outcomes_failed_has_error CHECK ((status = 'FAILED') = (error_type IS NOT NULL))
) PARTITION BY RANGE (id);

CREATE TABLE attempts (
    id uuid NOT NULL,
    epoch smallint NOT NULL,
    attempt smallint NOT NULL,
    worker bigint NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_at timestamptz NOT NULL,
    ended text NOT NULL,
    error_type text NOT NULL,
    error_text text NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (id, epoch, attempt),
    CONSTRAINT attempts_ended_known CHECK (ended IN ('error', 'permanent', 'timeout', 'lost', 'released'))
) PARTITION BY RANGE (id);

CREATE TABLE workers (
    id bigint GENERATED ALWAYS AS IDENTITY,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    alive_until timestamptz NOT NULL,
    ended_at timestamptz,
    pid integer NOT NULL,
    busy smallint NOT NULL DEFAULT 0,
    host text NOT NULL,
    queues text[] NOT NULL,
    operations text[] NOT NULL,
    low jsonb NOT NULL DEFAULT '{}',
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
    retry_base_s double precision NOT NULL,
    retry_cap_s double precision NOT NULL,
    timeout_ms integer,
    max_attempts smallint NOT NULL,
    queue text NOT NULL,
    description text NOT NULL,
    input_schema jsonb NOT NULL,
    CONSTRAINT operations_pkey PRIMARY KEY (name),
    CONSTRAINT operations_name_form CHECK (name ~ '^[a-z0-9_.]{1,64}$')
);
"""

# A job's state in one statement and one snapshot: the live row's, else the newest outcome's.
VIEW = """
CREATE VIEW job_states AS
SELECT j.id, j.tenant, j.queue, j.operation, j.created_at, j.run_at, j.timeout_ms,
       CASE WHEN l.worker IS NOT NULL THEN 'IN_PROGRESS'
            WHEN l.pos > statement_timestamp() THEN CASE WHEN l.attempt > l.released THEN 'RETRYING' ELSE 'SCHEDULED' END
            WHEN l.id IS NOT NULL THEN 'PENDING'
            ELSE o.status END AS status,
       coalesce(l.rev, o.rev) AS rev,
       coalesce(l.epoch, o.epoch) AS epoch,
       coalesce(l.attempt, o.attempt) AS attempt,
       coalesce(l.max_attempts, j.max_attempts) AS max_attempts,
       coalesce(l.priority, j.priority) AS priority,
       CASE WHEN l.id IS NULL THEN o.started_at ELSE l.started_at END AS started_at,
       CASE WHEN l.worker IS NULL THEN l.pos END AS due_at,
       CASE WHEN l.id IS NULL THEN o.finished_at END AS finished_at,
       CASE WHEN l.id IS NULL THEN o.worker ELSE l.worker END AS worker,
       l.progress, l.progress_text,
       CASE WHEN l.id IS NULL THEN o.result END AS result,
       CASE WHEN l.id IS NULL THEN o.error_type END AS error_type,
       CASE WHEN l.id IS NULL THEN o.error_text END AS error_text
FROM jobs j
LEFT JOIN live l ON l.id = j.id
LEFT JOIN LATERAL (SELECT * FROM outcomes WHERE outcomes.id = j.id ORDER BY epoch DESC LIMIT 1) o ON true
"""


def upgrade() -> None:
    """Apply."""
    op.execute(TABLES)
    op.execute(VIEW)
