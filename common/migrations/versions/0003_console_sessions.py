"""Console sessions: a table of its own, which nothing else reads.

phase: expand
"""

from alembic import op

revision = "0003"
down_revision = "0002"

# Small: at most some sessions of each caller. A request with a cookie reads one row each few seconds.
CONSOLE_SESSIONS = """
CREATE TABLE console_sessions (
    digest bytea NOT NULL,
    id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    used_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    tenant integer NOT NULL,
    subject text NOT NULL,
    key_id text,
    name text,
    scopes text[] NOT NULL,
    CONSTRAINT console_sessions_pkey PRIMARY KEY (digest),
    CONSTRAINT console_sessions_digest_size CHECK (octet_length(digest) = 32)
);
CREATE INDEX console_sessions_tenant_subject ON console_sessions (tenant, subject, created_at);
"""


def upgrade() -> None:
    """Create the table."""
    op.execute(CONSOLE_SESSIONS)
