"""The version of the schema."""

from sqlalchemy import Connection, text

from common.domain.errors import StartupError

BEFORE_RELEASE = (
    "the database has the schema of a version before 0.1.0, which cannot be migrated; nothing was changed: "
    "use an empty database, or drop this one and create it anew"
)
_VERSION_TABLE = text("SELECT to_regclass('alembic_version')")
# Before 0.1.0 the schema had other names of tables and columns, under revisions that 0.1.0 uses again.
_BEFORE_RELEASE = text(
    "SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('live') AND attname = 'pos')"
)
_REVISION = text("SELECT max(version_num) FROM alembic_version")


def revision(connection: Connection) -> str | None:
    """Return the revision of the schema, None for a database without one."""
    if connection.execute(_VERSION_TABLE).scalar_one() is None:
        return None
    newest: str | None = connection.execute(_REVISION).scalar_one()
    return newest


def check_released(connection: Connection) -> None:
    """Raise StartupError for a schema from before 0.1.0, which no migration brings to this version."""
    if connection.execute(_BEFORE_RELEASE).scalar_one():
        raise StartupError(BEFORE_RELEASE)


def wait_for_exclusive(connection: Connection, work: str) -> None:
    """Take an advisory lock for this work, waiting for its holder. It lasts until the commit, also through a pooler."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:work))"), {"work": f"jobproc.{work}"})
