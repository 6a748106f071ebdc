"""What finds failed and cancelled jobs, by id and by the time of their end.

phase: expand
"""

from alembic import op

revision = "0004"
down_revision = "0003"

# Of the parent alone, so that nothing is read under the lock: common.migrate makes those of the partitions that are there
# already without keeping writers out, new partitions are made with theirs.
INDEXES = """
CREATE INDEX outcomes_unsuccessful_id ON ONLY outcomes (id) WHERE status <> 'SUCCESS';
CREATE INDEX outcomes_unsuccessful_finished_at ON ONLY outcomes (finished_at, id) WHERE status <> 'SUCCESS';
"""


def upgrade() -> None:
    """Apply."""
    op.execute(INDEXES)
