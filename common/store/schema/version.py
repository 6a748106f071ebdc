"""The schema's own version."""

from sqlalchemy import Connection, text

_VERSION_TABLE = text("SELECT to_regclass('alembic_version')")
_REVISION = text("SELECT max(version_num) FROM alembic_version")


def revision(connection: Connection) -> str | None:
    """Return the revision that the schema is at, None where there is no schema."""
    if connection.execute(_VERSION_TABLE).scalar_one() is None:
        return None
    found: str | None = connection.execute(_REVISION).scalar_one()
    return found


def wait_for_exclusive(connection: Connection, work: str) -> None:
    """Wait until no other transaction does this work; until the commit, so it holds through a pooler in transaction mode too."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:work))"), {"work": f"jobproc.{work}"})
