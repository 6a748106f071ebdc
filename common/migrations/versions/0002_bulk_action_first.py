"""Bulk actions: the number of jobs after which one stops by itself, more of its preview, and who asked for it.

phase: expand
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add columns without a default, which rewrites no row."""
    op.execute("""
        ALTER TABLE bulk_actions
            ADD COLUMN first bigint,
            ADD COLUMN preview json,
            ADD COLUMN created_by text,
            ADD COLUMN started_by text,
            ADD CONSTRAINT bulk_actions_first_positive CHECK (first > 0)
    """)
