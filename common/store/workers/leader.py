"""Leader election of controllers, by a lease in a row of `leaders`."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

LEAD = Statement(
    "lead",
    "text, text, float8",
    """
    INSERT INTO leaders AS l (name, holder, term, until) VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 s')
    ON CONFLICT (name) DO UPDATE
    SET holder = excluded.holder, until = excluded.until,
        term = l.term + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END
    WHERE l.holder = excluded.holder OR l.until < clock_timestamp()
    RETURNING term
    """,
)

RESIGN = Statement(
    "resign", "text, text", "UPDATE leaders SET until = '-infinity' WHERE name = $1 AND holder = $2 RETURNING term"
)

NAME = "controller"


def lead(connection: WorkerConnection, holder: str, lease_s: float) -> int | None:
    """Take or renew the lease for `lease_s` seconds. Return the term, or None while another controller leads."""
    rows = connection.run(LEAD, (NAME, holder, lease_s))
    return int(rows[0][0]) if rows else None


def resign(connection: WorkerConnection, holder: str) -> None:
    """End the lease, so that another controller can lead at once."""
    connection.run(RESIGN, (NAME, holder))
