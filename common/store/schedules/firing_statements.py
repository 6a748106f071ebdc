"""The statements of the controller about schedules."""

from common.store.connection.statement import Statement
from common.store.jobs.fragments import INSERT_WITH_OPTIONS, INSERT_WITH_RUNNING_KEYS
from common.store.schedules.records import COLUMNS

_QUALIFIED = ", ".join(f"s.{column}" for column in COLUMNS.split(", "))
# `now` for the tests, which have clocks of their own; null: the database's.
ANY_DUE = Statement(
    "schedules_any_due",
    "timestamptz",
    "SELECT true FROM schedules WHERE NOT paused AND due_at <= coalesce($1, statement_timestamp()) LIMIT 1",
)
DUE_IDS = Statement(
    "schedules_due_ids",
    "bigint",
    """
    SELECT id::text FROM schedules WHERE NOT paused AND due_at <= statement_timestamp() ORDER BY due_at LIMIT $1
    """,
)
LOCK_DUE = Statement(
    "schedules_lock_due",
    "timestamptz, bigint, uuid",
    f"""
    SELECT {_QUALIFIED}, coalesce($1, clock_timestamp()), (extract(epoch FROM clock_timestamp()) * 1000)::bigint
    FROM schedules s
    WHERE NOT s.paused AND s.due_at <= coalesce($1, statement_timestamp()) AND ($3 IS NULL OR s.id = $3)
    ORDER BY s.due_at LIMIT $2 FOR UPDATE SKIP LOCKED
    """,
)
# The fires of the last minute are read only if a tenant has a quota of jobs a minute: once, and not for each tenant.
TENANTS = Statement(
    "schedules_tenants",
    "int[], bigint, bigint",
    """
    WITH due AS MATERIALIZED (
        SELECT t.*, coalesce(t.max_jobs_per_minute, nullif($3, 0)) AS per_minute
        FROM unnest($1) AS d(id) JOIN tenants t ON t.id = d.id),
    fired AS (
        SELECT tenant, count(*) AS jobs FROM schedule_fires
        WHERE (SELECT bool_or(per_minute IS NOT NULL) FROM due)
          AND fired_at > statement_timestamp() - interval '1 minute' AND outcome = 'fired'
        GROUP BY tenant)
    SELECT t.id, t.state = 'ACTIVE',
           least(coalesce(t.max_waiting_jobs, nullif($2, 0)) - coalesce(u.waiting, 0),
                 t.per_minute - coalesce(f.jobs, 0)),
           (SELECT e.id::text FROM webhook_endpoints e WHERE e.tenant = t.id AND e.is_default)
    FROM due t LEFT JOIN tenant_usage u ON u.tenant = t.id LEFT JOIN fired f ON f.tenant = t.id
    """,
)
OPERATIONS = Statement(
    "schedules_operations",
    "text[]",
    "SELECT name, queue, max_attempts, timeout_ms, version, queues FROM operations WHERE name = ANY ($1)",
)
UNFINISHED = Statement(
    "schedules_unfinished_jobs", "uuid[]", "SELECT l.id::text FROM unnest($1) AS d(id) JOIN live l ON l.id = d.id"
)
# A row that another transaction holds is not returned: its schedule waits for the next look.
CANCEL = Statement(
    "schedules_cancel_jobs",
    "uuid[]",
    """
    WITH held AS MATERIALIZED (
        SELECT l.* FROM unnest($1) AS d(id) JOIN live l ON l.id = d.id ORDER BY l.id FOR UPDATE OF l SKIP LOCKED),
    gone AS (DELETE FROM live WHERE id = ANY (ARRAY(SELECT id FROM held WHERE worker IS NULL))),
    ended AS (
        INSERT INTO outcomes (id, tenant, run, attempt, released, rev, status)
        SELECT id, tenant, run, attempt, released, rev + 1, 'CANCELLED' FROM held WHERE worker IS NULL),
    asked AS (
        UPDATE live SET cancel_requested = true, rev = rev + (NOT cancel_requested)::int
        WHERE id = ANY (ARRAY(SELECT id FROM held WHERE worker IS NOT NULL)))
    SELECT id::text FROM held
    """,
)
INSERT_FIRES = Statement(
    "schedules_insert_fires",
    "json",
    """
    INSERT INTO schedule_fires (schedule, at, tenant, through, job, outcome, reason)
    SELECT schedule, at, tenant, through, job, outcome, reason
    FROM json_to_recordset($1) AS d(schedule uuid, at timestamptz, tenant int, through timestamptz, job uuid,
                                    outcome text, reason text)
    ON CONFLICT (schedule, at) DO NOTHING RETURNING job::text
    """,
)
INSERT_JOBS, INSERT_KEYED_JOBS = (
    Statement(name, "json, int[]", f"{sql.format(jobs='$1', tenants='$2')} RETURNING true")
    for name, sql in (
        ("schedules_insert_jobs", INSERT_WITH_OPTIONS),
        ("schedules_insert_keyed_jobs", INSERT_WITH_RUNNING_KEYS),
    )
)
ADVANCE = Statement(
    "schedules_advance",
    "json",
    """
    UPDATE schedules AS s
    SET next_at = d.next_at, due_at = d.due_at, pending_at = d.pending_at, last_job = d.last_job,
        last_at = greatest(s.last_at, d.last_at)
    FROM json_to_recordset($1) AS d(id uuid, next_at timestamptz, due_at timestamptz, pending_at timestamptz,
                                    last_job uuid, last_at timestamptz)
    WHERE s.id = d.id RETURNING true
    """,
)
OVERDUE = Statement(
    "schedules_overdue",
    "float8",
    """
    SELECT extract(epoch FROM statement_timestamp() - min(due_at))::float8
    FROM schedules WHERE NOT paused AND due_at <= statement_timestamp() - $1 * interval '1 s'
    """,
)
DELETE_FIRES = Statement(
    "schedules_delete_fires",
    "float8, bigint",
    """
    WITH gone AS (
        DELETE FROM schedule_fires WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM schedule_fires WHERE fired_at < statement_timestamp() - $1 * interval '1 day'
            ORDER BY fired_at LIMIT $2)) RETURNING true)
    SELECT count(*) FROM gone
    """,
)
