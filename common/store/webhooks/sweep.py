"""Stores the deliveries of ends that no settle has told of: failures, cancels, deadlines, rescues, bulk actions.

The controller reads the index of unsuccessful outcomes from a place on, of the tenants that have an endpoint. An
outcome may become visible after a later one, because its transaction took longer. So a place moves only to a time of
which all transactions have ended since. Until then the rows behind it are read again. Nothing is stored twice, as the
id of a delivery is made of its job and run.
"""

from dataclasses import dataclass
from datetime import datetime

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.webhooks.deliveries import JOB_DATA, JOB_DELIVERY_ID, JOB_EVENT_TYPE, deliveries

# The mark has a number of its own: the upper end of a snapshot is only above the last transaction that has ended, and
# one that runs may have it. The time of an outcome is read a moment before its transaction gets its number, or after
# it. Two seconds are a thousand times what lies between the two.
TIME_SLACK = "interval '2 s'"
CLOCK = Statement(
    "webhooks_clock",
    "int",
    f"""
    SELECT (statement_timestamp() - {TIME_SLACK})::text, pg_current_xact_id()::text::bigint,
           pg_snapshot_xmin(s)::text::bigint, $1
    FROM pg_current_snapshot() AS s
    """,
)
# A tenant without a place gets one: ends from then on count.
PLACES = Statement(
    "webhooks_places",
    "int",
    f"""
    WITH new AS (
        INSERT INTO webhook_sweeps (tenant, place)
        SELECT DISTINCT e.tenant, statement_timestamp() - {TIME_SLACK} FROM webhook_endpoints e
        WHERE NOT EXISTS (SELECT FROM webhook_sweeps s WHERE s.tenant = e.tenant)
        ON CONFLICT (tenant) DO NOTHING RETURNING tenant, place)
    SELECT s.tenant, s.place::text FROM webhook_sweeps s
    WHERE $1 = $1 AND EXISTS (SELECT FROM webhook_endpoints e WHERE e.tenant = s.tenant)
    UNION ALL SELECT tenant, place::text FROM new
    """,
)
# OFFSET 0 keeps the look-up by id, which prunes partitions.
STORE = Statement(
    "webhooks_store_deliveries",
    "int, timestamptz, timestamptz, bigint",
    f"""
    WITH found AS MATERIALIZED (
        SELECT o.id, o.tenant, o.run, o.rev, o.attempt, o.status, o.error_type, o.error_text, o.finished_at
        FROM outcomes o
        WHERE o.tenant = $1 AND o.status <> 'SUCCESS' AND o.finished_at > $2 AND o.finished_at <= $3
        ORDER BY o.tenant, o.finished_at, o.id LIMIT $4),
    event AS MATERIALIZED (
        SELECT {JOB_DELIVERY_ID} AS id, o.tenant, j.webhook, {JOB_EVENT_TYPE} AS type, o.finished_at AS happened_at,
               {JOB_DATA} AS data, NULL::json AS result
        FROM found o CROSS JOIN LATERAL (
            SELECT * FROM jobs WHERE jobs.id = o.id AND jobs.webhook IS NOT NULL OFFSET 0) j),
    unknown AS (
        SELECT * FROM event WHERE NOT EXISTS (SELECT FROM jobs WHERE jobs.id = event.id)),
    {deliveries("unknown")}
    SELECT (SELECT count(*) FROM found), (SELECT max(finished_at)::text FROM found), (SELECT count(*) FROM delivery)
    """,
)
MOVE = Statement(
    "webhooks_move_place",
    "int, timestamptz",
    "UPDATE webhook_sweeps SET place = $2 WHERE tenant = $1 AND place < $2 RETURNING true",
)
# And the places of tenants without an endpoint: a later one would make the controller read all ends since.
DELETE_OLD = Statement(
    "webhooks_delete_old",
    "bigint",
    """
    WITH places AS (
        DELETE FROM webhook_sweeps s
        WHERE NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.tenant = s.tenant) RETURNING true),
    gone AS (
        DELETE FROM webhook_secrets WHERE (endpoint, id) IN (
            SELECT endpoint, id FROM webhook_secrets WHERE expires_at < clock_timestamp() LIMIT $1) RETURNING true)
    SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM places)
    """,
)


@dataclass(frozen=True, slots=True)
class SnapshotTime:
    """A time of the database, and the transactions that ran then."""

    at: str  #: a little before the snapshot
    transaction: int  #: transactions that had stored anything by then have lower numbers
    oldest_transaction: int  #: all transactions with lower numbers had ended


@dataclass(frozen=True, slots=True)
class SweepPage:
    """A page of ends that one statement has read, and the deliveries that it has stored."""

    read: int  #: outcomes
    last: str | None  #: the time of the last one; None: none was read
    stored: int  #: deliveries


def snapshot_time(connection: WorkerConnection) -> SnapshotTime:
    """Return the time and the transactions of a snapshot."""
    at, transaction, oldest, _ = connection.run(CLOCK, (0,))[0]
    return SnapshotTime(at, transaction, oldest)


def places(connection: WorkerConnection) -> dict[int, str]:
    """Return the places of the tenants that have an endpoint."""
    return {row[0]: row[1] for row in connection.run(PLACES, (0,))}


def store(connection: WorkerConnection, tenant: int, after: str, until: str, limit: int) -> SweepPage:
    """Store the deliveries of a tenant's unsuccessful ends after a time and until another, of up to `limit` ends."""
    return SweepPage(*connection.run(STORE, (tenant, after, until, limit))[0])


def move(connection: WorkerConnection, tenant: int, place: str) -> None:
    """Store the place of a tenant. It never moves back."""
    connection.run(MOVE, (tenant, place))


def later_of(first: str, second: str) -> str:
    """Return the later of two times in the form of the database."""
    return max(first, second, key=datetime.fromisoformat)


def delete_old(connection: WorkerConnection, limit: int) -> int:
    """Delete secrets that no message is signed with any more, and places that are not needed; return how many."""
    return int(connection.run(DELETE_OLD, (limit,))[0][0])
