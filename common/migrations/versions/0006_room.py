"""Room on the pages of live for every job's claimed version, which is longer than the waiting one.

phase: expand
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Apply: pages filled from now on; keeps neither readers nor writers out."""
    op.execute("ALTER TABLE live SET (fillfactor = 45)")
