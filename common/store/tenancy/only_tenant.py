"""Whether an installation has one tenant, so that figures of all jobs are those of its own."""

from sqlalchemy import Connection

_IS_ALONE = "SELECT count(*) = 1 FROM (SELECT FROM tenants LIMIT 2) t"


def is_alone(connection: Connection) -> bool:
    """Return True if there is one tenant: all jobs that workers have counted are then its own."""
    return bool(connection.exec_driver_sql(_IS_ALONE).scalar_one())
