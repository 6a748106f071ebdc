"""The settle of a batch of results in which a job has a webhook: its delivery is stored in the same transaction."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.jobs import claims
from common.store.jobs.claims import Results
from common.store.webhooks.deliveries import JOB_DATA, JOB_DELIVERY_ID, JOB_EVENT_TYPE, deliveries

# `mine` has the row of `live`, from which the outcome is made in the same statement.
_ENDED = """
ended AS MATERIALIZED (
    SELECT m.id, m.tenant, m.run, m.attempt, m.rev + 1 AS rev, NULL AS error_type, NULL AS error_text,
           CASE WHEN NOT m.cancel_requested THEN m.result END AS result,
           CASE WHEN m.cancel_requested THEN 'CANCELLED' ELSE 'SUCCESS' END AS status
    FROM mine m)"""
_EVENTS = f"""
event AS (
    SELECT {JOB_DELIVERY_ID} AS id, o.tenant, j.webhook, {JOB_EVENT_TYPE} AS type, clock_timestamp() AS happened_at,
           {JOB_DATA} AS data, o.result
    FROM ended o JOIN jobs j ON j.id = o.id WHERE j.webhook IS NOT NULL)"""
SETTLE_WITH_WEBHOOKS = Statement(
    "settle_with_webhooks",
    "bigint, uuid[], smallint[], json, bigint[], float8, float8",
    f"WITH {claims.SETTLING}, {_ENDED}, {_EVENTS}, {deliveries('event')} SELECT id::text FROM done",
)


def settle(connection: WorkerConnection, worker: int, results: Results) -> set[str]:
    """Store results as `claims.settle` does, with the deliveries of those whose jobs have a webhook."""
    if not results.have_webhook:
        return claims.settle(connection, worker, results)
    stored = {row[0] for row in connection.run(SETTLE_WITH_WEBHOOKS, (worker, *results.arguments()))}
    if len(stored) < len(results.ids):
        stored |= claims.succeeded_before(connection, worker, results)
    return stored
