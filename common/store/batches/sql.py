"""SQL of batches that both drivers run: the counts of unsuccessful jobs, and the end with the follow-up."""

from common.domain.webhooks.events import EventType
from common.store.jobs.fragments import COLUMNS, LIVE, RECORD, SIDE_TABLES, new_jobs
from common.store.webhooks.deliveries import deliveries, delivery_id

#: Live rows from the place on that are counted before another way is tried: about 20 ms.
NEAR = 20_000

#: True if the row of `live` or `outcomes` with this id belongs to batch b, at its place or later.
FROM_PLACE = "{id} >= b.place AND {id} <= b.last"

#: FAILED and CANCELLED jobs of batch b, by their newest runs, with those that retention has deleted. A run after the
#: first has a row in `runs`.
UNSUCCESSFUL = """SELECT count(*) FILTER (WHERE o.status = 'FAILED') + b.gone_failed AS failed,
           count(*) FILTER (WHERE o.status = 'CANCELLED') + b.gone_cancelled AS cancelled
    FROM outcomes o
    WHERE b.failed IS NULL AND o.tenant = b.tenant AND o.status <> 'SUCCESS' AND o.id > b.id AND o.id <= b.last
      AND (NOT b.retried OR NOT EXISTS (SELECT FROM runs r WHERE r.id = o.id AND r.run > o.run))"""

_FOLLOW_UP = COLUMNS | {"id": "ended.follow_up_job"}
_FOLLOW_UPS = f"ended CROSS JOIN LATERAL {RECORD.format(row='ended.follow_up')} WHERE ended.is_first"
# Told each time that the batch ends: a batch of which a job was retried by request ends again, with a higher `rev`.
_DELIVERY_ID = delivery_id("ended.id", "ended.rev", "batch")
_DATA = """json_build_object(
               CASE WHEN ended.is_workflow THEN 'workflow_id' ELSE 'batch_id' END, ended.id,
               'sequence', ended.rev, 'jobs', ended.jobs,
               'succeeded', ended.jobs - ended.failed - ended.cancelled, 'failed', ended.failed,
               'cancelled', ended.cancelled, 'follow_up_job_id', ended.follow_up_job,
               'submitted_at', to_char(ended.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))"""
#: Ends the closed batch $1, whose row the transaction has locked before it found no live job. The first time this
#: stores the follow-up, if there is one, with the id $2. Returns the id and queue of the follow-up.
END = f"""
WITH counted AS MATERIALIZED (
    SELECT b.id, c.* FROM batches b CROSS JOIN LATERAL ({UNSUCCESSFUL}) c WHERE b.id = $1),
ended AS (
    UPDATE batches b
    SET ended_at = coalesce(b.ended_at, clock_timestamp()), place = b.last, rev = b.rev + 1,
        failed = counted.failed, cancelled = counted.cancelled,
        follow_up_job = CASE WHEN b.ended_at IS NULL AND b.follow_up IS NOT NULL THEN $2::uuid
                             ELSE b.follow_up_job END
    FROM counted WHERE b.id = counted.id AND b.closed_at IS NOT NULL AND b.failed IS NULL
    RETURNING b.id, b.tenant, b.rev, b.jobs, b.failed, b.cancelled, b.created_at, b.webhook, b.follow_up,
              b.is_workflow, b.follow_up_job, coalesce(b.follow_up_job = $2, false) AS is_first),
{new_jobs(_FOLLOW_UPS, _FOLLOW_UP)}{SIDE_TABLES},
live_rows AS ({LIVE}),
event AS (
    SELECT {_DELIVERY_ID} AS id, ended.tenant, ended.webhook,
           CASE WHEN ended.is_workflow THEN '{EventType.WORKFLOW_ENDED}' ELSE '{EventType.BATCH_ENDED}' END AS type,
           clock_timestamp() AS happened_at, {_DATA} AS data, NULL::json AS result
    FROM ended WHERE ended.webhook IS NOT NULL),
{deliveries("event")}
SELECT ended.id::text, new.id::text, new.queue FROM ended LEFT JOIN new ON new.id = ended.follow_up_job
"""
