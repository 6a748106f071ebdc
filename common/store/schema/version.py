"""The version of the schema, and locks for work that only one process may do in it."""

from sqlalchemy import Connection, text

_VERSION_TABLE = text("SELECT to_regclass('alembic_version')")
_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('jobproc.' || current_schema() || '.' || :work))")
_LOCK_OF_DATABASE = text("SELECT pg_advisory_xact_lock(hashtext('jobproc.' || :work))")
_REVISION = text("SELECT max(version_num) FROM alembic_version")


def revision(connection: Connection) -> str | None:
    """Return the revision of the schema, None for an empty one."""
    if connection.execute(_VERSION_TABLE).scalar_one() is None:
        return None
    newest: str | None = connection.execute(_REVISION).scalar_one()
    return newest


def wait_for_exclusive(connection: Connection, work: str, *, in_database: bool = False) -> None:
    """Take an advisory lock for this work, waiting for its holder. It lasts until the commit, also through a pooler.

    Another schema of the database has other locks, unless `in_database`, for what installations have in common.
    """
    connection.execute(_LOCK_OF_DATABASE if in_database else _LOCK, {"work": work})
