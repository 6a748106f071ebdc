"""The webhooks of a run: all jobs of one tenant have one. No worker serves their queue, so their deliveries stay."""

from rig.system import Database

from common.store.webhooks.deliveries import JOB_DELIVERY_ID

#: Beside the jobs of clients: the deliveries.
IS_DELIVERY = "operation = 'jobproc.webhook'"
_CREATE = """
INSERT INTO webhook_endpoints (id, tenant, max_attempts, is_default, url)
VALUES (gen_random_uuid(), %s, 21, true, 'https://receiver.example/')
"""
_TOLD = f"""
SELECT o.id::text, o.run, (SELECT count(*) FROM jobs d WHERE d.id = {JOB_DELIVERY_ID} AND d.{IS_DELIVERY})
FROM outcomes o JOIN jobs j ON j.id = o.id WHERE j.webhook IS NOT NULL
"""
# A batch of which a job was retried may have ended several times.
_TOLD_OF_BATCHES = f"""
SELECT b.id::text, CASE WHEN b.retried THEN least(told.count, 1) ELSE told.count END
FROM batches b CROSS JOIN LATERAL (
    SELECT count(*) FROM jobs d WHERE d.{IS_DELIVERY} AND b.id::text IN (
        d.input #>> '{{event,data,batch_id}}', d.input #>> '{{event,data,workflow_id}}')) told
WHERE b.webhook IS NOT NULL AND b.ended_at IS NOT NULL
"""


def create(database: Database, tenant: int) -> None:
    """Give all jobs of a tenant a webhook."""
    database.rows(_CREATE, (tenant,))


def told(database: Database) -> dict[tuple[str, int], int]:
    """Return the number of deliveries of each end, by job and run."""
    return {(job_id, run): count for job_id, run, count in database.rows(_TOLD)}


def deliveries(database: Database) -> int:
    """Return the number of all deliveries of ends of jobs."""
    of_jobs = f"SELECT count(*) FROM jobs WHERE {IS_DELIVERY} AND input #>> '{{event,data,job_id}}' IS NOT NULL"
    return int(database.value(of_jobs))


def told_of_batches(database: Database) -> dict[str, int]:
    """Return the number of deliveries of each batch that has ended, at most 1 if a job of it was retried."""
    return dict(database.rows(_TOLD_OF_BATCHES))
