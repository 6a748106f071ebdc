"""A migration of a later version, which adds a column.

phase: expand
"""

from pathlib import Path

from alembic import op

revision = "0999"
_revisions = sorted(path.name.partition("_")[0] for path in Path(__file__).parent.glob("[0-9]*.py"))
down_revision = _revisions[-2]  # the last migration of the previous version


def upgrade() -> None:
    """Add a column that the previous version does not know."""
    op.execute("SET LOCAL lock_timeout = '3s'")
    op.execute("ALTER TABLE live ADD COLUMN note text")
