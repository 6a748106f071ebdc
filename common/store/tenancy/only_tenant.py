"""The only tenant: an installation that has one pays for no index by tenant, and figures of all jobs are its own."""

from typing import TYPE_CHECKING

from common.domain.tenancy.tenants import DEFAULT_TENANT

if TYPE_CHECKING:  # workers do not import it
    from sqlalchemy import Connection

#: The condition under which the indexes by tenant have the jobs of a tenant.
INDEXED = f" AND tenant <> {DEFAULT_TENANT}"
_IS_ALONE = "SELECT count(*) = 1 FROM (SELECT FROM tenants LIMIT 2) t"


def is_alone(connection: "Connection") -> bool:
    """Return True if there is one tenant: all jobs that workers have counted are then its own."""
    return bool(connection.exec_driver_sql(_IS_ALONE).scalar_one())


def indexed(tenant: int) -> str:
    """Return the condition under which the indexes by tenant have a tenant's jobs; the default tenant's are in none."""
    return INDEXED if is_indexed(tenant) else ""


def is_indexed(tenant: int) -> bool:
    """Return True if the indexes by tenant have the jobs of a tenant: those of all but the default tenant."""
    return tenant != DEFAULT_TENANT
