"""A migration that a later version might bring: it only adds.

phase: expand
"""

from pathlib import Path

from alembic import op

revision = "0999"
down_revision = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("[0-9]*.py"))[-2]  # of the version before


def upgrade() -> None:
    """Add a column that older code does not know."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute("ALTER TABLE live ADD COLUMN note text")
