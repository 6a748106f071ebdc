"""The whole schema: jobs with their side tables and view, batches, keys, bulk actions, schedules, workers, tenants.

phase: expand
"""

from alembic import op

from common.migrations.access_tables import ACCESS
from common.migrations.batch_tables import BATCHES
from common.migrations.bulk_action_tables import BULK_ACTIONS
from common.migrations.feed.tables import FEED
from common.migrations.job_log_table import JOB_LOGS
from common.migrations.partition_functions import PARTITION_FUNCTIONS
from common.migrations.queue_tables import QUEUE_FUNCTIONS, QUEUES
from common.migrations.schedule_tables import SCHEDULES
from common.migrations.usage_tables import USAGE
from common.migrations.workers_tables import WORKERS

revision = "0001"
down_revision = None

JOBS = """
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
    input json,
    deadline timestamptz,
    retry_base_s double precision,
    retry_cap_s double precision,
    keep_s integer,
    version smallint NOT NULL DEFAULT 1,
    tags text[],
    metadata json,
    unique_key text,
    unique_while text,
    submitted_by text,
    concurrency_key text,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_priority_range CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT jobs_max_attempts_range CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT jobs_timeout_positive CHECK (timeout_ms > 0)
) PARTITION BY RANGE (id);
CREATE INDEX jobs_tenant_id ON jobs (tenant, id) WHERE tenant <> 1;

CREATE TABLE live (
    id uuid NOT NULL,
    claimable_at timestamptz NOT NULL,
    started_at timestamptz,
    worker bigint,
    rev bigint NOT NULL DEFAULT 0,
    tenant integer NOT NULL DEFAULT 1,
    progress double precision,
    priority smallint NOT NULL DEFAULT 5,
    attempt smallint NOT NULL DEFAULT 0,
    released smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL,
    run smallint NOT NULL DEFAULT 0,
    cancel_requested boolean NOT NULL DEFAULT false,
    queue text NOT NULL,
    progress_text text,
    needs text,
    isolated boolean NOT NULL DEFAULT false,
    crashes smallint NOT NULL DEFAULT 0,
    running_key text,
    due_since timestamptz,
    concurrency_key text,
    CONSTRAINT live_pkey PRIMARY KEY (id),
    CONSTRAINT live_held_has_start CHECK ((worker IS NULL) = (started_at IS NULL)),
    CONSTRAINT live_attempt_range CHECK (attempt >= 0 AND released BETWEEN 0 AND attempt),
    CONSTRAINT live_progress_range CHECK (progress BETWEEN 0 AND 1),
    CONSTRAINT live_parked_waits_for_a_key CHECK (
        claimable_at < 'infinity' OR (
            worker IS NULL AND num_nonnulls(running_key, concurrency_key) = 1 AND needs IS NOT NULL
            AND due_since IS NOT NULL))
) WITH (
    fillfactor = 45, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX live_due ON live (queue, priority, claimable_at, id);
CREATE INDEX live_line ON live (queue COLLATE "C", tenant, priority, claimable_at, id) WHERE priority < 10;
CREATE INDEX live_tenant_id ON live ((tenant::bigint), id) WHERE tenant <> 1;
CREATE INDEX live_running_key ON live (tenant, running_key, queue, needs, priority, claimable_at, id)
    WHERE running_key IS NOT NULL AND claimable_at < 'infinity';
CREATE INDEX live_parked ON live (tenant, running_key, queue, needs, priority, due_since, id)
    WHERE claimable_at = 'infinity';
CREATE INDEX live_limited ON live (tenant, queue, concurrency_key, needs, claimable_at)
    WHERE concurrency_key IS NOT NULL AND claimable_at < 'infinity';
CREATE INDEX live_limited_parked ON live (tenant, queue, concurrency_key, needs, priority, due_since, id)
    WHERE concurrency_key IS NOT NULL AND claimable_at = 'infinity';

CREATE TABLE outcomes (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    run smallint NOT NULL,
    attempt smallint NOT NULL,
    rev bigint NOT NULL,
    worker bigint,
    started_at timestamptz,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    released smallint NOT NULL,
    status text NOT NULL,
    result json,
    error_type text,
    error_text text,
    traceback text,
    execution_s real,
    cpu_s real,
    peak_mib real,
    CONSTRAINT outcomes_pkey PRIMARY KEY (id, run),
    CONSTRAINT outcomes_status_known CHECK (status IN ('SUCCESS', 'FAILED', 'CANCELLED')),
    CONSTRAINT outcomes_success_has_result CHECK ((status = 'SUCCESS') = (result IS NOT NULL)),
    CONSTRAINT outcomes_failed_has_error CHECK ((status = 'FAILED') = (error_type IS NOT NULL))
) PARTITION BY RANGE (id);
CREATE INDEX outcomes_unsuccessful_id ON outcomes (tenant, id) WHERE status <> 'SUCCESS';
CREATE INDEX outcomes_unsuccessful_finished_at ON outcomes (tenant, finished_at, id) WHERE status <> 'SUCCESS';

CREATE TABLE attempts (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    run smallint NOT NULL,
    attempt smallint NOT NULL,
    worker bigint NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    retry_at timestamptz NOT NULL,
    outcome text NOT NULL,
    error_type text NOT NULL,
    error_text text NOT NULL,
    traceback text,
    execution_s real,
    cpu_s real,
    peak_mib real,
    CONSTRAINT attempts_pkey PRIMARY KEY (id, run, attempt),
    CONSTRAINT attempts_outcome_known CHECK (outcome IN ('error', 'permanent', 'timeout', 'lost', 'released'))
) PARTITION BY RANGE (id);
"""

# Only jobs that use the feature of a table have rows in it.
SIDE_TABLES = """
CREATE TABLE runs (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    run smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    input json,
    undo boolean NOT NULL DEFAULT false,
    CONSTRAINT runs_pkey PRIMARY KEY (id, run)
);

CREATE TABLE tags (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    tag text NOT NULL,
    CONSTRAINT tags_pkey PRIMARY KEY (id, tag)
) PARTITION BY RANGE (id);
CREATE INDEX tags_tag_id ON tags (tenant, tag, id);

CREATE TABLE deadlines (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    at timestamptz NOT NULL,
    CONSTRAINT deadlines_pkey PRIMARY KEY (id)
);
CREATE INDEX deadlines_at ON deadlines (at);

CREATE TABLE expiries (
    id uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    at timestamptz NOT NULL,
    CONSTRAINT expiries_pkey PRIMARY KEY (id)
);
CREATE INDEX expiries_at ON expiries (at);

CREATE TABLE idempotency_keys (
    tenant integer NOT NULL DEFAULT 1,
    key text NOT NULL,
    until timestamptz NOT NULL,
    ids uuid[] NOT NULL,
    batch uuid,
    digest bytea NOT NULL,
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (tenant, key)
);
CREATE INDEX idempotency_keys_until ON idempotency_keys (until);

CREATE TABLE unique_keys (
    tenant integer NOT NULL DEFAULT 1,
    key text NOT NULL,
    id uuid NOT NULL,
    CONSTRAINT unique_keys_pkey PRIMARY KEY (tenant, key)
);
"""

# The state of a job in one snapshot: that of its live row if it has one, else that of its newest outcome. Its reader's
# policies hold for its tables, not its owner's.
VIEW = """
CREATE VIEW job_states WITH (security_invoker = true) AS
SELECT j.id, j.tenant, j.queue, j.operation, j.created_at, j.run_at, j.timeout_ms,
       CASE WHEN l.worker IS NOT NULL THEN 'IN_PROGRESS'
            WHEN l.claimable_at > statement_timestamp() AND l.claimable_at < 'infinity'
            THEN CASE WHEN l.attempt > l.released THEN 'RETRYING' ELSE 'SCHEDULED' END
            WHEN l.id IS NOT NULL THEN 'PENDING'
            ELSE o.status END AS status,
       coalesce(l.rev, o.rev) AS rev,
       coalesce(l.run, o.run) AS run,
       coalesce(l.attempt, o.attempt) AS attempt,
       coalesce(l.max_attempts, j.max_attempts) AS max_attempts,
       coalesce(l.priority, j.priority) AS priority,
       CASE WHEN l.id IS NULL THEN o.started_at ELSE l.started_at END AS started_at,
       CASE WHEN l.claimable_at = 'infinity' THEN l.due_since WHEN l.worker IS NULL THEN l.claimable_at END AS due_at,
       CASE WHEN l.id IS NULL THEN o.finished_at END AS finished_at,
       CASE WHEN l.id IS NULL THEN o.worker ELSE l.worker END AS worker,
       l.progress, l.progress_text,
       CASE WHEN l.id IS NULL THEN o.result END AS result,
       CASE WHEN l.id IS NULL THEN o.error_type END AS error_type,
       CASE WHEN l.id IS NULL THEN o.error_text END AS error_text
FROM jobs j
LEFT JOIN live l ON l.id = j.id
LEFT JOIN LATERAL (SELECT * FROM outcomes WHERE outcomes.id = j.id ORDER BY run DESC LIMIT 1) o ON true
"""


def upgrade() -> None:
    """Create all tables, indexes, the view, and the functions for partitions."""
    tables = (JOBS, JOB_LOGS, SIDE_TABLES, BATCHES, BULK_ACTIONS, SCHEDULES, QUEUES, WORKERS, ACCESS, USAGE, FEED)
    for statements in (*tables, VIEW, PARTITION_FUNCTIONS, QUEUE_FUNCTIONS):
        op.execute(statements)
