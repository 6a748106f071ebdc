"""SQL that both drivers run: it stores the job that delivers an event, in the transaction that the event is of.

The id of a delivery has the time of its subject and a digest of the subject and its run. So it lies in the partition of
the subject, and a second statement that stores it stores nothing.
"""

from common.domain.webhooks.events import OPERATION, QUEUE, TAG_PREFIX, EventType

#: Of one attempt; the sender has a limit of its own, which is shorter (JOBPROC_WEBHOOK_TIMEOUT_SECONDS).
ATTEMPT_TIMEOUT_MS = 300_000
MAX_RESULT_BYTES = 262_144  # of a result that is stored with its event
_DIGEST = "encode(sha256(uuid_send({id}) || int8send(({number})::bigint) || '{kind}'::bytea), 'hex')"


def delivery_id(subject: str, number: str, kind: str) -> str:
    """Return SQL of the id of a delivery: a UUIDv7 of the time in the subject's id. `kind`: a word without quotes."""
    return f"""(SELECT (left({subject}::text, 13) || '-7' || substr(digest, 1, 3) || '-a' || substr(digest, 4, 3)
            || '-' || substr(digest, 7, 12))::uuid
     FROM (SELECT {_DIGEST.format(id=subject, number=number, kind=kind)} AS digest OFFSET 0) AS made)"""


#: The data of an event about the end of a run, of a row o as `outcomes` has it, and its job j. Names are on the wire.
JOB_DATA = """json_build_object(
    'job_id', o.id, 'run', o.run, 'sequence', o.rev, 'status', o.status, 'operation', j.operation, 'queue', j.queue,
    'tags', coalesce(to_json(j.tags), '[]'), 'metadata', j.metadata, 'attempt', o.attempt,
    'submitted_at', to_char(j.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    'error', CASE WHEN o.error_type IS NOT NULL
                  THEN json_build_object('type', o.error_type, 'text', left(o.error_text, 1000)) END)"""
JOB_EVENT_TYPE = f"""CASE o.status WHEN 'SUCCESS' THEN '{EventType.JOB_SUCCEEDED}'
    WHEN 'FAILED' THEN '{EventType.JOB_FAILED}' ELSE '{EventType.JOB_CANCELLED}' END"""
JOB_DELIVERY_ID = delivery_id("o.id", "o.run", "job")

_EVENT = """json_build_object(
    'type', event.type, 'data', event.data,
    'timestamp', to_char(event.happened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))"""


def deliveries(events: str) -> str:
    """Return CTEs that store the deliveries of events, of which `delivery` returns the id of each new one.

    `events`: a CTE with the delivery `id`, the `tenant`, the endpoint `webhook`, and the `type`, `happened_at`, `data`
    and `result` of each event; the last is null but for a success.
    """
    return f"""
delivery AS (
    INSERT INTO jobs (id, tenant, queue, operation, input, max_attempts, timeout_ms, tags, submitted_by)
    SELECT event.id, event.tenant, '{QUEUE}', '{OPERATION}',
           CASE WHEN event.result IS NULL OR NOT endpoint.include_result
                THEN json_build_object('endpoint_id', endpoint.id, 'event', {_EVENT})
                WHEN pg_column_size(event.result) <= {MAX_RESULT_BYTES}
                THEN json_build_object('endpoint_id', endpoint.id, 'event', {_EVENT}, 'result', event.result)
                ELSE json_build_object('endpoint_id', endpoint.id, 'event', {_EVENT}, 'result_omitted', true) END,
           endpoint.max_attempts, {ATTEMPT_TIMEOUT_MS}, ARRAY['{TAG_PREFIX}' || endpoint.id], 'webhook:' || endpoint.id
    FROM {events} AS event
    JOIN webhook_endpoints endpoint ON endpoint.id = event.webhook AND endpoint.tenant = event.tenant
    WHERE endpoint.disabled_at IS NULL
      AND (endpoint.events IS NULL OR event.type = ANY (endpoint.events) OR event.type = '{EventType.TEST}')
    ON CONFLICT (id) DO NOTHING
    RETURNING id, tenant, max_attempts, tags),
delivery_live AS (
    INSERT INTO live (id, tenant, queue, max_attempts, claimable_at, needs)
    SELECT id, tenant, '{QUEUE}', max_attempts, clock_timestamp(), '{OPERATION}' FROM delivery),
delivery_tags AS (
    INSERT INTO tags (id, tenant, tag) SELECT id, tenant, unnest(tags) FROM delivery)"""
