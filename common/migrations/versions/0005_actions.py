"""Actions on all jobs that match a filter, and what each did to which job.

phase: expand
"""

from alembic import op

revision = "0005"
down_revision = "0004"

# A column with a constant default is written nowhere but in the catalogue.
COLUMNS = "ALTER TABLE reruns ADD COLUMN undo boolean NOT NULL DEFAULT false"

TABLES = """
CREATE TABLE actions (
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at timestamptz,
    as_of timestamptz NOT NULL,
    place uuid,
    passed uuid[] NOT NULL DEFAULT '{}',
    count bigint NOT NULL,
    matched bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    asked bigint NOT NULL DEFAULT 0,
    undone bigint NOT NULL DEFAULT 0,
    rate integer NOT NULL,
    priority smallint,
    exact boolean NOT NULL,
    kind text NOT NULL,
    phase text NOT NULL DEFAULT 'PREVIEW',
    filter json NOT NULL,
    sample json NOT NULL,
    skipped json NOT NULL,
    not_undone json NOT NULL,
    error text,
    CONSTRAINT actions_pkey PRIMARY KEY (id),
    CONSTRAINT actions_kind_known CHECK (kind IN ('cancel', 'retry', 'reprioritise')),
    CONSTRAINT actions_phase_known CHECK (phase IN ('PREVIEW', 'RUNNING', 'STOPPED', 'DONE', 'UNDOING', 'UNDONE', 'EXPIRED')),
    CONSTRAINT actions_priority_range CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT actions_reprioritise_has_priority CHECK ((kind = 'reprioritise') = (priority IS NOT NULL))
);
CREATE INDEX actions_active ON actions (id) WHERE phase IN ('RUNNING', 'UNDOING');

CREATE TABLE action_jobs (
    action uuid NOT NULL,
    id uuid NOT NULL,
    pos timestamptz,
    epoch smallint NOT NULL,
    priority smallint,
    crashes smallint,
    alone boolean,
    needs text,
    CONSTRAINT action_jobs_pkey PRIMARY KEY (action, id)
);
"""


def upgrade() -> None:
    """Apply."""
    op.execute(COLUMNS)
    op.execute(TABLES)
