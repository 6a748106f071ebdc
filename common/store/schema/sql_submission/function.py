"""The text of the function `submit`, which inserts a job with the rights of a role of its own.

Its arguments are only ever values, never parts of a statement. Names of tables are found in the schema alone. The
tenant is that of the session's role: a role that a session has taken by SET ROLE does not count.
"""

from collections.abc import Sequence

from common.settings import Settings

SIGNATURE = (
    "submit(text, json, text, integer, timestamp with time zone, double precision, integer, double precision, text[], "
    "json, text)"
)
MAX_TAGS, MAX_TAG_CHARACTERS = 20, 64
LOCK_TIMEOUT_S = 10  # the longest wait for another transaction that has the same idempotency key
_FUNCTION = """
CREATE OR REPLACE FUNCTION submit(
    operation text, input json DEFAULT '{{}}', queue text DEFAULT NULL, priority integer DEFAULT NULL,
    run_at timestamptz DEFAULT NULL, delay_seconds double precision DEFAULT NULL, max_attempts integer DEFAULT NULL,
    timeout_seconds double precision DEFAULT NULL, tags text[] DEFAULT NULL, metadata json DEFAULT NULL,
    idempotency_key text DEFAULT NULL
) RETURNS uuid
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER
SET search_path = {schema}, pg_temp SET standard_conforming_strings = on
SET lock_timeout = '{lock_timeout_s}s'
AS $function$
#variable_conflict use_column
DECLARE
    caller record;
    former_tenants text := coalesce(current_setting('jobproc.tenants', true), '');
    spec record;
    earlier record;
    invalid text;
    new_id uuid;
    new_digest bytea;
    new_tags text[];
    job_input json := coalesce(submit.input, '{{}}');
    begins_at timestamptz := submit.run_at;
    now_at timestamptz := clock_timestamp();
    random text := replace(gen_random_uuid()::text, '-', '');
BEGIN
    SELECT t.id AS tenant, t.state, m.tenant AS name INTO caller
    FROM (VALUES {mapping}) AS m(role, tenant) LEFT JOIN tenants t ON t.name = m.tenant
    WHERE m.role = session_user;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '42501', MESSAGE = format(
            'role %s submits for no tenant: JOBPROC_SQL_SUBMIT_ROLES of the migration names the roles that do',
            session_user);
    ELSIF caller.tenant IS NULL OR caller.state <> 'ACTIVE' THEN
        RAISE EXCEPTION USING ERRCODE = '55000', MESSAGE = format(
            'tenant %s, for which role %s submits, %s', caller.name, session_user,
            CASE WHEN caller.tenant IS NULL THEN 'does not exist'
                 ELSE format('takes no jobs: it is %s', caller.state) END);
    END IF;
    PERFORM set_config('jobproc.tenants', format('{{%s}}', caller.tenant), true);

    SELECT o.queue, o.queues, o.max_attempts, o.timeout_ms, o.version INTO spec
    FROM operations o WHERE o.name = submit.operation;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = format(
            'operation: unknown operation %L; GET /operations lists the known ones', left(submit.operation, 64));
    END IF;
    new_tags := (SELECT array_agg(d.tag ORDER BY d.place)
                 FROM (SELECT tag, min(place) AS place FROM unnest(submit.tags) WITH ORDINALITY AS u(tag, place)
                       GROUP BY tag) AS d);
    invalid := CASE
        WHEN octet_length(job_input::text) > {max_body_bytes} THEN 'input: is more than {max_body_bytes} bytes'
        WHEN submit.queue <> ALL (spec.queues) THEN format(
            'queue: %s does not allow this queue; it allows %s', submit.operation, array_to_string(spec.queues, ', '))
        WHEN submit.priority NOT BETWEEN 0 AND 9 THEN 'priority: 0 to 9 is expected'
        WHEN submit.run_at IS NOT NULL AND submit.delay_seconds IS NOT NULL
            THEN 'delay_seconds: cannot be combined with run_at'
        WHEN NOT submit.delay_seconds BETWEEN 0 AND {max_delay_s}
            THEN 'delay_seconds: 0 to {max_delay_s} seconds is expected'
        WHEN NOT isfinite(submit.run_at) OR submit.run_at < '1970-01-01 00:00:00+00'
            THEN 'run_at: a time from 1970 on is expected'
        WHEN submit.run_at > now_at + {max_delay_s} * interval '1 s'
            THEN 'run_at: is more than {max_delay_days} days ahead'
        WHEN submit.max_attempts NOT BETWEEN 1 AND {max_attempts}
            THEN 'max_attempts: 1 to {max_attempts} is expected'
        WHEN NOT submit.timeout_seconds BETWEEN 0.001 AND {max_timeout_s}
            THEN 'timeout_seconds: 0.001 to {max_timeout_s} seconds is expected'
        WHEN cardinality(submit.tags) > {max_tags} THEN 'tags: at most {max_tags} are allowed'
        WHEN EXISTS (SELECT FROM unnest(submit.tags) AS u(tag)
                     WHERE tag IS NULL OR char_length(tag) NOT BETWEEN 1 AND {max_tag_characters})
            THEN 'tags: each has 1 to {max_tag_characters} characters'
        WHEN json_typeof(submit.metadata) <> 'object' THEN 'metadata: an object is expected'
        WHEN octet_length(submit.metadata::text) > {max_metadata_bytes}
            THEN 'metadata: is more than {max_metadata_bytes} bytes as JSON'
        WHEN position('\\u0000' IN submit.metadata::text) > 0 THEN 'metadata: has the character U+0000'
        WHEN submit.idempotency_key COLLATE "C" !~ '^[!-~]{{1,255}}$'
            THEN 'idempotency_key: 1 to 255 printable ASCII characters are expected'
    END;
    IF invalid IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = '22023', MESSAGE = invalid;
    END IF;

    -- A UUIDv7, as the API makes them: the partition of the job is found by it.
    new_id := lpad(to_hex(floor(extract(epoch FROM now_at) * 1000)::bigint), 12, '0') || '7' || substr(random, 14, 19);
    IF submit.idempotency_key IS NOT NULL THEN
        new_digest := sha256(convert_to(json_build_array(
            submit.operation, job_input::text, submit.queue, submit.priority, submit.run_at, submit.delay_seconds,
            submit.max_attempts, submit.timeout_seconds, submit.tags, submit.metadata::text)::text, 'UTF8'));
        LOOP
            INSERT INTO idempotency_keys AS k (tenant, key, ids, digest, until)
            VALUES (caller.tenant, submit.idempotency_key, ARRAY[new_id], new_digest,
                    now_at + {idempotency_s} * interval '1 s')
            ON CONFLICT (tenant, key) DO UPDATE
            SET ids = excluded.ids, digest = excluded.digest, until = excluded.until, batch = NULL
            WHERE k.until < clock_timestamp();
            EXIT WHEN FOUND;
            SELECT k.ids[1] AS id, k.digest INTO earlier FROM idempotency_keys k
            WHERE k.tenant = caller.tenant AND k.key = submit.idempotency_key;
            CONTINUE WHEN NOT FOUND;  -- it had expired, and was deleted meanwhile
            IF earlier.digest <> new_digest THEN
                RAISE EXCEPTION USING ERRCODE = '22023',
                    MESSAGE = 'idempotency_key: was used for another submission';
            END IF;
            PERFORM set_config('jobproc.tenants', former_tenants, true);
            RETURN earlier.id;
        END LOOP;
    END IF;

    IF submit.delay_seconds > 0 THEN
        begins_at := now_at + submit.delay_seconds * interval '1 s';
    END IF;
    INSERT INTO jobs (id, tenant, created_at, run_at, operation, queue, input, max_attempts, timeout_ms, priority,
                      version, tags, metadata, submitted_by, webhook)
    VALUES (new_id, caller.tenant, now_at, begins_at, submit.operation, coalesce(submit.queue, spec.queue),
            translate(job_input::text, E'\\n\\r', '  ')::json, coalesce(submit.max_attempts, spec.max_attempts),
            coalesce(round(submit.timeout_seconds * 1000)::integer, spec.timeout_ms), coalesce(submit.priority, 5),
            spec.version, new_tags, translate(submit.metadata::text, E'\\n\\r', '  ')::json, 'role:' || session_user,
            (SELECT e.id FROM webhook_endpoints e WHERE e.tenant = caller.tenant AND e.is_default));
    INSERT INTO live (id, tenant, queue, priority, max_attempts, claimable_at, needs)
    VALUES (new_id, caller.tenant, coalesce(submit.queue, spec.queue), coalesce(submit.priority, 5),
            coalesce(submit.max_attempts, spec.max_attempts), greatest(begins_at, clock_timestamp()), {needs});
    INSERT INTO sql_submissions (id, tenant) VALUES (new_id, caller.tenant);
    INSERT INTO tags (id, tenant, tag) SELECT new_id, caller.tenant, tag FROM unnest(new_tags) AS u(tag);
    PERFORM set_config('jobproc.tenants', former_tenants, true);
    RETURN new_id;
END $function$
"""

TABLE, TRIGGER_FUNCTION = "sql_submissions", "move_to_commit()"
# Claims go on from where they have been half a second ago. So a job whose transaction was open for longer moves to the
# time of its commit; else it would wait for the controller, up to three seconds. The rows live as long as their
# transactions. At the commit the user is that of the application, hence SECURITY DEFINER.
MAKE_TABLE = """
CREATE UNLOGGED TABLE sql_submissions (
    id uuid NOT NULL,
    tenant integer NOT NULL,
    CONSTRAINT sql_submissions_pkey PRIMARY KEY (id)
);
CREATE CONSTRAINT TRIGGER move_to_commit AFTER INSERT ON sql_submissions DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION move_to_commit()
"""
_MOVE = """
CREATE OR REPLACE FUNCTION move_to_commit() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = {schema}, pg_temp
AS $function$
DECLARE
    former_tenants text := coalesce(current_setting('jobproc.tenants', true), '');
BEGIN
    PERFORM set_config('jobproc.tenants', format('{{%s}}', NEW.tenant), true);
    UPDATE live SET claimable_at = clock_timestamp()
    WHERE id = NEW.id AND worker IS NULL AND claimable_at < clock_timestamp() - interval '0.2 s';
    DELETE FROM sql_submissions WHERE id = NEW.id;
    PERFORM set_config('jobproc.tenants', former_tenants, true);
    RETURN NULL;
END $function$
"""


def move(schema: str) -> str:
    """Return the statement that creates the function by which a job moves to the time of its commit."""
    return _MOVE.format(schema=schema)


def function(schema: str, tenants: Sequence[tuple[str, str]], needs: str, settings: Settings) -> str:
    """Return the statement that creates the function. `schema`: quoted. `tenants`: by role, of plain letters."""
    return _FUNCTION.format(
        schema=schema,
        lock_timeout_s=LOCK_TIMEOUT_S,
        mapping=", ".join(f"('{role}', '{tenant}')" for role, tenant in tenants),
        max_body_bytes=settings.max_body_bytes,
        max_metadata_bytes=settings.max_metadata_bytes,
        max_attempts=settings.max_attempts,
        max_timeout_s=settings.max_timeout_seconds,
        max_delay_days=settings.max_delay_days,
        max_delay_s=settings.max_delay_days * 86_400,
        idempotency_s=settings.idempotency_seconds,
        max_tags=MAX_TAGS,
        max_tag_characters=MAX_TAG_CHARACTERS,
        needs=needs,
    )
