"""The removal of tenants: the controller deletes all rows of one, a bounded number in each transaction.

All but its audit log, which is kept as long as that of any tenant: who removed it, and what was done before.
"""

from typing import TYPE_CHECKING

from common.domain.tenancy.tenants import DEFAULT_TENANT
from common.store.connection.statement import Statement, array_literal

if TYPE_CHECKING:  # it imports psycopg2, which the API does without
    from common.store.connection.psycopg2_session import WorkerConnection

# Those whose clients have been refused for long enough: a request that came before has stored its jobs by now.
REMOVING = Statement(
    "removing_tenants",
    "float8",
    """
    SELECT id, name FROM tenants
    WHERE state = 'REMOVING' AND changed_at < clock_timestamp() - $1 * interval '1 s' ORDER BY changed_at
    """,
)
# Without a row of `live` no worker stores anything more about a job. A row that is locked is left for the next step.
DELETE_UNFINISHED = Statement(
    "delete_unfinished_of_tenant",
    "int, bigint",
    """
    WITH gone AS (
        DELETE FROM live WHERE id = ANY (ARRAY(
            SELECT id FROM live WHERE tenant = $1 ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING true)
    SELECT count(*), (SELECT count(*) FROM (SELECT FROM live WHERE tenant = $1 LIMIT $2 + 1) l) FROM gone
    """,
)
NEXT_JOBS = Statement(
    "jobs_of_tenant",
    "int, bigint",
    "SELECT j.id::text FROM jobs j WHERE j.tenant = $1 AND j.tenant <> 1 ORDER BY j.id LIMIT $2",
)
_TABLES_BY_ID = ("outcomes", "attempts", "tags", "job_logs", "runs", "deadlines", "expiries", "jobs")
_MATCHING = "id BETWEEN $2 AND $3 AND id = ANY ($1)"  # the lowest and highest id prune partitions
_DELETES = ", ".join(f"of_{table} AS (DELETE FROM {table} WHERE {_MATCHING} RETURNING true)" for table in _TABLES_BY_ID)
DELETE_JOBS = Statement("delete_jobs_of_tenant", "uuid[], uuid, uuid", f"WITH {_DELETES} SELECT count(*) FROM of_jobs")
DELETE_BULK_ACTIONS = Statement(
    "delete_bulk_actions_of_tenant",
    "int, bigint",
    """
    WITH records AS (
        DELETE FROM bulk_action_jobs WHERE ctid = ANY (ARRAY(
            SELECT j.ctid FROM bulk_actions a JOIN bulk_action_jobs j ON j.bulk_action = a.id
            WHERE a.tenant = $1 LIMIT $2)) RETURNING true),
    gone AS (
        DELETE FROM bulk_actions a
        WHERE tenant = $1 AND NOT EXISTS (SELECT FROM bulk_action_jobs j WHERE j.bulk_action = a.id) RETURNING true)
    SELECT (SELECT count(*) FROM records) + (SELECT count(*) FROM gone)
    """,
)
# Before the jobs: a batch without jobs would end, and its follow-up would be stored.
DELETE_BATCHES = Statement(
    "delete_batches_of_tenant",
    "int, bigint",
    """
    WITH gone AS (
        DELETE FROM batches WHERE id = ANY (ARRAY(
            SELECT id FROM batches WHERE tenant = $1 ORDER BY id LIMIT $2)) RETURNING id, last, is_workflow),
    added AS (
        DELETE FROM added_parents a USING gone WHERE gone.is_workflow AND a.child > gone.id AND a.child <= gone.last)
    SELECT count(*) FROM gone
    """,
)
DELETE_KEYS = Statement(
    "delete_keys_of_tenant",
    "int, bigint",
    """
    WITH idempotent AS (
        DELETE FROM idempotency_keys WHERE tenant = $1 AND key = ANY (ARRAY(
            SELECT key FROM idempotency_keys WHERE tenant = $1 LIMIT $2)) RETURNING true),
    uniques AS (
        DELETE FROM unique_keys WHERE tenant = $1 AND key = ANY (ARRAY(
            SELECT key FROM unique_keys WHERE tenant = $1 LIMIT $2)) RETURNING true)
    SELECT (SELECT count(*) FROM idempotent) + (SELECT count(*) FROM uniques)
    """,
)
# First the schedules, so that no more fires are stored.
DELETE_SCHEDULES = Statement(
    "delete_schedules_of_tenant",
    "int, bigint",
    """
    WITH schedules_gone AS (
        DELETE FROM schedules WHERE id = ANY (ARRAY(
            SELECT id FROM schedules WHERE tenant = $1 ORDER BY name LIMIT $2)) RETURNING true),
    fires_gone AS (
        DELETE FROM schedule_fires WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM schedule_fires WHERE tenant = $1 AND tenant <> 1 LIMIT $2)) RETURNING true)
    SELECT (SELECT count(*) FROM schedules_gone) + (SELECT count(*) FROM fires_gone)
    """,
)
# Before the jobs, so that no more deliveries are stored.
DELETE_WEBHOOKS = Statement(
    "delete_webhooks_of_tenant",
    "int, bigint",
    """
    WITH place AS (DELETE FROM webhook_sweeps WHERE tenant = $1 RETURNING true),
    secrets AS (
        DELETE FROM webhook_secrets WHERE (endpoint, id) IN (
            SELECT endpoint, id FROM webhook_secrets WHERE tenant = $1 LIMIT $2) RETURNING true),
    gone AS (
        DELETE FROM webhook_endpoints WHERE id = ANY (ARRAY(
            SELECT id FROM webhook_endpoints WHERE tenant = $1 LIMIT $2)) RETURNING true)
    SELECT (SELECT count(*) FROM place) + (SELECT count(*) FROM secrets) + (SELECT count(*) FROM gone)
    """,
)
DELETE_USAGE = Statement(
    "delete_usage_of_tenant",
    "int, bigint",
    """
    WITH used AS (DELETE FROM tenant_usage WHERE tenant = $1 RETURNING true),
    bytes AS (
        DELETE FROM stored_bytes WHERE id = ANY (ARRAY(
            SELECT id FROM stored_bytes WHERE tenant = $1 LIMIT $2)) RETURNING true)
    SELECT (SELECT count(*) FROM used) + (SELECT count(*) FROM bytes)
    """,
)
DELETE_FEED = Statement(
    "delete_feed_of_tenant",
    "int, bigint",
    """
    WITH changes AS (
        DELETE FROM feed_changes WHERE tenant = $1 AND id = ANY (ARRAY(
            SELECT id FROM feed_changes WHERE tenant = $1 ORDER BY id LIMIT $2)) RETURNING true),
    pages AS (
        DELETE FROM feed_pages WHERE tenant = $1 AND last_number = ANY (ARRAY(
            SELECT last_number FROM feed_pages WHERE tenant = $1 ORDER BY last_number LIMIT $2)) RETURNING true),
    feed AS (DELETE FROM feeds WHERE tenant = $1)
    SELECT (SELECT count(*) FROM changes) + (SELECT count(*) FROM pages)
    """,
)
DELETE_TENANT = Statement(
    "delete_tenant",
    "int",
    f"""
    WITH api AS (DELETE FROM api_keys WHERE tenant = $1),
    browsers AS (DELETE FROM console_sessions WHERE tenant = $1)
    DELETE FROM tenants WHERE id = $1 AND id <> {DEFAULT_TENANT} AND state = 'REMOVING' RETURNING true
    """,
)


def removing(connection: "WorkerConnection", delay_s: float) -> list[tuple[int, str]]:
    """Return id and name of the tenants whose removal began `delay_s` seconds ago, the oldest first."""
    return [(row[0], row[1]) for row in connection.run(REMOVING, (delay_s,))]


def run_step(connection: "WorkerConnection", tenant: int, limit: int) -> int | None:
    """Delete up to `limit` rows of a tenant, or jobs with all their rows. Atomic.

    Return how many; 0: another transaction holds the rest. None: the tenant itself is deleted, nothing was left.
    """
    for statement in (DELETE_SCHEDULES, DELETE_WEBHOOKS, DELETE_BULK_ACTIONS, DELETE_BATCHES):
        if deleted := int(connection.run(statement, (tenant, limit))[0][0]):
            return deleted
    deleted, before = connection.run(DELETE_UNFINISHED, (tenant, limit))[0]
    if before:
        return int(deleted)
    if ids := [row[0] for row in connection.run(NEXT_JOBS, (tenant, limit))]:
        return int(connection.run(DELETE_JOBS, (array_literal(ids), ids[0], ids[-1]))[0][0])
    for statement in (DELETE_KEYS, DELETE_FEED, DELETE_USAGE):
        if deleted := int(connection.run(statement, (tenant, limit))[0][0]):
            return deleted
    connection.run(DELETE_TENANT, (tenant,))
    return None
