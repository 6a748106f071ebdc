"""When workers last knew each operation: they mark it now and then, and the controller forgets what nobody knows.

An operation is forgotten only while workers serve all of its queues and none of them knows it. A queue whose workers
are scaled to zero keeps its operations, however long that lasts: a job is what brings its workers back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from common.store.connection.statement import Statement
from common.store.workers.fragments import LEASE_ALIVE

if TYPE_CHECKING:  # workers do without SQLAlchemy, the API without psycopg2
    from sqlalchemy import Connection

    from common.store.connection.psycopg2_session import WorkerConnection

# Most workers know the same operations: one that was marked a moment ago is not written again, and one that another
# worker marks now is passed by, so none waits.
_MARK = Statement(
    "mark_operations_seen",
    "text[], float8",
    """
    WITH due AS MATERIALIZED (
        SELECT name FROM operations
        WHERE name = ANY ($1) AND seen_at < clock_timestamp() - $2 * interval '1 s' FOR UPDATE SKIP LOCKED),
    marked AS (UPDATE operations SET seen_at = clock_timestamp() WHERE name IN (SELECT name FROM due))
    SELECT name FROM unnest($1) AS name WHERE NOT EXISTS (SELECT FROM operations o WHERE o.name = name.name)
    """,
)

# A worker that knows another version knows the operation.
_FORGET = Statement(
    "forget_operations",
    "int",
    f"""
    DELETE FROM operations o
    WHERE o.seen_at < clock_timestamp() - $1 * interval '1 h'
      AND o.queues <@ ARRAY(SELECT DISTINCT unnest(w.queues) FROM workers w WHERE {LEASE_ALIVE})
      AND NOT EXISTS (
          SELECT FROM workers w, unnest(w.operations) AS known
          WHERE {LEASE_ALIVE} AND split_part(known, '@', 1) = o.name)
    RETURNING o.name
    """,
)

_SEEN_AT = "SELECT name, seen_at FROM operations"

_WORKERS = f"""
SELECT extract(epoch FROM now() - max(least(alive_until, ended_at, now())))::float8,
       (SELECT array_agg(DISTINCT split_part(known, '@', 1) ORDER BY split_part(known, '@', 1))
        FROM (SELECT DISTINCT operations FROM workers w WHERE {LEASE_ALIVE}) kinds, unnest(operations) AS known),
       count(*) FILTER (WHERE {LEASE_ALIVE})
FROM workers w
"""


@dataclass(frozen=True, slots=True)
class SeenWorkers:
    """The worker processes that hold a lease, and when the last one held one."""

    live: int = 0  #: processes with a lease
    operations: tuple[str, ...] = ()  #: the names that they know
    last_seen_s: float | None = None  #: seconds since the newest lease ended, 0 while there is one; None: never


def mark_seen(connection: "WorkerConnection", names: Sequence[str], unmarked_s: float) -> set[str]:
    """Mark operations as known now, unless they were marked less than `unmarked_s` seconds ago.

    Returns the names that the catalogue does not have.
    """
    return {row[0] for row in connection.run(_MARK, (list(names), unmarked_s))}


def forget(connection: "WorkerConnection", hours: int) -> list[str]:
    """Delete operations that no worker has known for so long, though workers serve their queues. Returns the names."""
    return sorted(row[0] for row in connection.run(_FORGET, (hours,)))


def seen_at(connection: "Connection") -> dict[str, datetime]:
    """Return by operation when a worker last said that it knows it."""
    return {row.name: row.seen_at for row in connection.exec_driver_sql(_SEEN_AT)}


def seen_workers(connection: "Connection") -> SeenWorkers:
    """Return the workers that live, or else when the last one did."""
    last_seen_s, operations, live = connection.exec_driver_sql(_WORKERS).one()
    return SeenWorkers(live, tuple(operations or ()), last_seen_s)
