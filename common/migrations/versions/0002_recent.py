"""What a worker's processes have finished in the last minutes, for rates that need no Prometheus.

phase: expand
"""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply. A column with a constant default is written nowhere but in the catalogue."""
    op.execute("ALTER TABLE workers ADD COLUMN recent jsonb NOT NULL DEFAULT '{}'")
