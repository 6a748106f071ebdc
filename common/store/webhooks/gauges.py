"""The counts of webhooks that the controller exports."""

from common.domain.webhooks.events import QUEUE, EndpointState
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

MAX_DELIVERIES = 1_000  # whose ages are read
ENDPOINTS = Statement(
    "webhook_endpoints_by_state",
    "int",
    f"""
    SELECT CASE WHEN disabled_at IS NOT NULL THEN '{EndpointState.DISABLED}'
                WHEN open_until IS NOT NULL THEN '{EndpointState.FAILING}' ELSE '{EndpointState.ACTIVE}' END, count(*)
    FROM webhook_endpoints WHERE $1 = $1 GROUP BY 1
    """,
)
OLDEST = Statement(
    "webhook_oldest_undelivered",
    "bigint",
    f"""
    SELECT coalesce(max(date_part('epoch', clock_timestamp() - j.created_at)), 0)
    FROM (SELECT id FROM live WHERE queue = '{QUEUE}' ORDER BY queue, priority, claimable_at, id LIMIT $1) l
    CROSS JOIN LATERAL (SELECT * FROM jobs WHERE jobs.id = l.id OFFSET 0) j
    JOIN webhook_endpoints e ON e.id::text = j.input ->> 'endpoint_id'
    WHERE e.disabled_at IS NULL AND e.open_until IS NULL
    """,
)


def endpoints(connection: WorkerConnection) -> dict[str, int]:
    """Return the number of endpoints in each state."""
    return {str(state): 0 for state in EndpointState} | {row[0]: row[1] for row in connection.run(ENDPOINTS, (0,))}


def oldest_undelivered_s(connection: WorkerConnection) -> float:
    """Return the age of the oldest unfinished delivery of an endpoint that works; 0: there is none."""
    return float(connection.run(OLDEST, (MAX_DELIVERIES,))[0][0])
