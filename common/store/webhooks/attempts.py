"""Reads and writes of a worker that delivers an event: URL and secrets, and the circuit of its endpoint."""

from dataclasses import dataclass

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement

SUCCESS_INTERVAL = "interval '10 s'"  # between two stored times of a success
READ = Statement(
    "webhook_endpoint",
    "uuid",
    """
    SELECT e.url, e.tenant, e.failures, e.disabled_reason,
           date_part('epoch', e.open_until - clock_timestamp()),
           (SELECT json_agg(encode(s.secret, 'base64') ORDER BY s.created_at DESC) FROM webhook_secrets s
            WHERE s.endpoint = e.id AND (s.expires_at IS NULL OR s.expires_at > clock_timestamp()))
    FROM webhook_endpoints e WHERE e.id = $1
    """,
)
# Of all deliveries that wait for an open circuit, the one that moves its end tries.
TRY = Statement(
    "webhook_try",
    "uuid, float8",
    """
    UPDATE webhook_endpoints SET open_until = clock_timestamp() + $2 * interval '1 s'
    WHERE id = $1 AND open_until <= clock_timestamp() RETURNING true
    """,
)
SUCCEEDED = Statement(
    "webhook_succeeded",
    "uuid",
    f"""
    UPDATE webhook_endpoints
    SET failures = 0, failing_since = NULL, open_until = NULL, last_success_at = clock_timestamp()
    WHERE id = $1 AND (failures > 0 OR open_until IS NOT NULL OR last_success_at IS NULL
                       OR last_success_at < clock_timestamp() - {SUCCESS_INTERVAL})
    RETURNING true
    """,
)
# $3: seconds for which the circuit opens after 0, 1, 2 … failures in a row, -1 for none; the last one holds for more.
FAILED = Statement(
    "webhook_failed",
    "uuid, text, float8[], float8, boolean",
    """
    WITH counted AS (
        SELECT id, failures + 1 AS failures, coalesce(failing_since, clock_timestamp()) AS failing_since,
               $3[least(failures + 2, array_length($3, 1))] AS open_s
        FROM webhook_endpoints WHERE id = $1 AND disabled_at IS NULL FOR UPDATE),
    ended AS (
        SELECT id, CASE WHEN $5 THEN 'gone'
                        WHEN open_s >= 0 AND failing_since < clock_timestamp() - $4 * interval '1 s' THEN 'failing'
                   END AS reason
        FROM counted)
    UPDATE webhook_endpoints e
    SET failures = counted.failures, failing_since = counted.failing_since, last_failure_at = clock_timestamp(),
        last_failure = $2, disabled_reason = ended.reason,
        open_until = CASE WHEN counted.open_s >= 0 THEN clock_timestamp() + counted.open_s * interval '1 s' END,
        disabled_at = CASE WHEN ended.reason IS NOT NULL THEN clock_timestamp() END,
        rev = e.rev + CASE WHEN ended.reason IS NOT NULL THEN 1 ELSE 0 END
    FROM counted JOIN ended ON ended.id = counted.id
    WHERE e.id = counted.id RETURNING e.failures, e.disabled_reason, e.open_until IS NOT NULL
    """,
)


@dataclass(frozen=True, slots=True)
class EndpointForDelivery:
    """An endpoint as a delivery needs it. Its secrets are encrypted, and not shown."""

    url: str
    tenant: int
    failures: int
    disabled_reason: str | None
    open_s: float | None  #: seconds until its circuit lets one delivery try; None: it is closed
    secrets: tuple[str, ...]  #: base64

    def __repr__(self) -> str:
        return f"EndpointForDelivery({self.url!r})"


@dataclass(frozen=True, slots=True)
class FailureCount:
    """The state of an endpoint after a failed attempt."""

    failures: int
    disabled_reason: str | None  #: why this attempt has disabled it; None: it has not
    is_open: bool


def read(connection: WorkerConnection, endpoint_id: str) -> EndpointForDelivery | None:
    """Return an endpoint; None: it was deleted."""
    rows = connection.run(READ, (endpoint_id,))
    if not rows:
        return None
    url, tenant, failures, disabled_reason, open_s, secrets = rows[0]
    return EndpointForDelivery(url, tenant, failures, disabled_reason, open_s, tuple(secrets or ()))


def take_try(connection: WorkerConnection, endpoint_id: str, open_s: float) -> bool:
    """Return True if this delivery is the one that tries; the circuit stays open for the others."""
    return bool(connection.run(TRY, (endpoint_id, open_s)))


def succeeded(connection: WorkerConnection, endpoint_id: str) -> None:
    """Close the circuit of an endpoint, and store the time of the success now and then."""
    connection.run(SUCCEEDED, (endpoint_id,))


def failed(
    connection: WorkerConnection,
    endpoint_id: str,
    reason: str,
    open_seconds: list[float],
    disable_after_s: float,
    *,
    gone: bool,
) -> FailureCount | None:
    """Count a failed attempt; None: the endpoint was deleted or is disabled.

    `open_seconds`: for how long the circuit opens after 0, 1, 2 … failures, -1: not; the last one holds for more.
    """
    rows = connection.run(FAILED, (endpoint_id, reason, open_seconds, disable_after_s, gone))
    return FailureCount(*rows[0]) if rows else None
