"""The settle of a batch of results in which a job has a webhook: its delivery is stored in the same transaction."""

from common.store.connection.psycopg2_session import WorkerConnection
from common.store.connection.statement import Statement
from common.store.jobs import claims
from common.store.webhooks.deliveries import JOB_DATA, JOB_DELIVERY_ID, JOB_EVENT_TYPE, deliveries
from common.store.workers.results import Results

# `mine` has the row of `live`, from which the settle makes the outcome.
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
STORE_DELIVERIES = Statement(
    "store_deliveries",
    "bigint, uuid[], smallint[], json, bigint[]",
    f"WITH {claims.MINE}, {_ENDED}, {_EVENTS}, {deliveries('event')} SELECT count(*) FROM delivery",
)


def settle(connection: WorkerConnection, worker: int, results: Results) -> set[str]:
    """Store results as `claims.settle` does, with the deliveries of those whose jobs have a webhook."""
    if not results.have_webhook:
        return claims.settle(connection, worker, results)
    if connection.is_idle:
        with connection.transaction():
            return settle(connection, worker, results)
    connection.run(STORE_DELIVERIES, (worker, *results.arguments()[:4]))  # it locks the rows that the settle ends
    return claims.settle(connection, worker, results)
