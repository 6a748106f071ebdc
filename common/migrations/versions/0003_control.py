"""What lets clients direct a job: when, how long, how often, under which key; and what an attempt took.

phase: expand
"""

from alembic import op

revision = "0003"
down_revision = "0002"

# Columns without a default, or with a constant one, are written nowhere but in the catalogue.
COLUMNS = """
ALTER TABLE jobs
    ADD COLUMN deadline timestamptz,
    ADD COLUMN retry_base_s double precision,
    ADD COLUMN retry_cap_s double precision,
    ADD COLUMN keep_s integer,
    ADD COLUMN version smallint NOT NULL DEFAULT 1,
    ADD COLUMN tags text[],
    ADD COLUMN metadata json,
    ADD COLUMN unique_key text,
    ADD COLUMN unique_while text,
    ALTER COLUMN input DROP NOT NULL;
ALTER TABLE live
    ADD COLUMN needs text,
    ADD COLUMN alone boolean NOT NULL DEFAULT false,
    ADD COLUMN crashes smallint NOT NULL DEFAULT 0;
ALTER TABLE outcomes ADD COLUMN run_s real, ADD COLUMN cpu_s real, ADD COLUMN peak_mib real;
ALTER TABLE attempts ADD COLUMN run_s real, ADD COLUMN cpu_s real, ADD COLUMN peak_mib real;
ALTER TABLE operations ADD COLUMN version smallint NOT NULL DEFAULT 1, ADD COLUMN since smallint NOT NULL DEFAULT 1;
"""

# Rows of these only for jobs that use them.
TABLES = """
CREATE TABLE deadlines (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT deadlines_pkey PRIMARY KEY (id)
);
CREATE INDEX deadlines_at ON deadlines (at);

CREATE TABLE expiries (
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT expiries_pkey PRIMARY KEY (id)
);
CREATE INDEX expiries_at ON expiries (at);

CREATE TABLE tags (
    id uuid NOT NULL,
    tag text NOT NULL,
    CONSTRAINT tags_pkey PRIMARY KEY (id, tag)
) PARTITION BY RANGE (id);
CREATE INDEX tags_tag_id ON tags (tag, id);

CREATE TABLE keys (
    tenant integer NOT NULL DEFAULT 1,
    key text NOT NULL,
    until timestamptz NOT NULL,
    ids uuid[] NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT keys_pkey PRIMARY KEY (tenant, key)
);
CREATE INDEX keys_until ON keys (until);

CREATE TABLE uniq (
    tenant integer NOT NULL DEFAULT 1,
    key text NOT NULL,
    id uuid NOT NULL,
    CONSTRAINT uniq_pkey PRIMARY KEY (tenant, key)
);

CREATE TABLE reruns (
    id uuid NOT NULL,
    epoch smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    input json,
    CONSTRAINT reruns_pkey PRIMARY KEY (id, epoch)
);
"""


def upgrade() -> None:
    """Apply."""
    op.execute(COLUMNS)
    op.execute(TABLES)
