"""The parts of the installation that the database knows: its leading controller, worker processes, connections."""

from dataclasses import dataclass

import asyncpg

# Of sessions of other roles everyone sees which database they use, and little more.
_READ = """
SELECT (SELECT holder FROM leaders WHERE name = 'controller' AND until > clock_timestamp()),
       (SELECT count(*) FROM workers WHERE ended_at IS NULL AND alive_until > clock_timestamp()),
       (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL),
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """The running parts, as the database knows them."""

    leader: str | None  #: the name of the leading controller, None if no lease is valid
    workers: int  #: processes whose lease is valid
    connections: int  #: of all databases of the server
    max_connections: int  #: without those that are reserved for superusers


async def read(connection: asyncpg.Connection) -> Installation:
    """Return the running parts."""
    row = await connection.fetchrow(_READ)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    return Installation(*row)
