"""The tables of the first schema for the change feed, and the functions that record changes of followed queues.

`live` has no trigger until a queue is followed, so jobs that nobody follows pay nothing. The triggers are of rows, with
a short condition that names the followed queues: each statement parses it, and each row of other queues is compared.
"""

FEED = """
CREATE TABLE feed_changes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    job uuid NOT NULL,
    rev bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz,
    tenant integer NOT NULL DEFAULT 1,
    run smallint NOT NULL,
    attempt smallint NOT NULL,
    parked boolean NOT NULL DEFAULT false,
    status text,
    queue text NOT NULL,
    CONSTRAINT feed_changes_pkey PRIMARY KEY (tenant, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_threshold = -1
);

CREATE TABLE feed_pages (
    last_number bigint NOT NULL,
    first_number bigint NOT NULL,
    numbered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant integer NOT NULL DEFAULT 1,
    changes json NOT NULL,
    CONSTRAINT feed_pages_pkey PRIMARY KEY (tenant, last_number)
);

CREATE TABLE feeds (
    last_number bigint NOT NULL DEFAULT 0,
    deleted_to bigint NOT NULL DEFAULT 0,
    tenant integer NOT NULL DEFAULT 1,
    CONSTRAINT feeds_pkey PRIMARY KEY (tenant)
) WITH (fillfactor = 20);

DO $do$ BEGIN
    EXECUTE format($f$
    CREATE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue)
            VALUES (OLD.tenant, OLD.id, OLD.run, OLD.attempt, OLD.rev + 1, OLD.queue);
        ELSIF TG_OP = 'UPDATE' AND (OLD.worker IS NULL) = (NEW.worker IS NULL) AND OLD.attempt = NEW.attempt
              AND (NEW.worker IS NOT NULL OR OLD.claimable_at = NEW.claimable_at
                   OR (OLD.claimable_at <= clock_timestamp() AND NEW.claimable_at <= clock_timestamp())) THEN
            RETURN NULL;  -- its state is the same
        ELSIF NEW.worker IS NOT NULL THEN
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue, status)
            VALUES (NEW.tenant, NEW.id, NEW.run, NEW.attempt, NEW.rev, NEW.queue, 'IN_PROGRESS');
        ELSIF NEW.claimable_at = 'infinity' AND NEW.due_since IS NULL THEN
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue, status)
            VALUES (NEW.tenant, NEW.id, NEW.run, NEW.attempt, NEW.rev, NEW.queue, 'BLOCKED');
        ELSIF NEW.claimable_at = 'infinity' THEN
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue, status, parked)
            VALUES (NEW.tenant, NEW.id, NEW.run, NEW.attempt, NEW.rev, NEW.queue, 'PENDING', true);
        ELSIF NEW.claimable_at > clock_timestamp() THEN
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue, status, due_at)
            VALUES (NEW.tenant, NEW.id, NEW.run, NEW.attempt, NEW.rev, NEW.queue,
                    CASE WHEN NEW.attempt > NEW.released THEN 'RETRYING' ELSE 'SCHEDULED' END, NEW.claimable_at);
        ELSE
            INSERT INTO %1$I.feed_changes (tenant, job, run, attempt, rev, queue, status)
            VALUES (NEW.tenant, NEW.id, NEW.run, NEW.attempt, NEW.rev, NEW.queue, 'PENDING');
        END IF;
        RETURN NULL;
    END $$
    $f$, current_schema());
END $do$;

CREATE FUNCTION set_followed_queues() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    followed text[];
    of_tenants text;
    condition text;
    kind text;
BEGIN
    LOCK TABLE live IN SHARE ROW EXCLUSIVE MODE;
    SELECT array_agg(queue ORDER BY queue),
           string_agg(format('{row}.queue = %L AND {row}.tenant = ANY (%L::integer[])', queue, tenants), ' OR '
                      ORDER BY queue) FILTER (WHERE 0 <> ALL (tenants))
    INTO followed, of_tenants
    FROM (SELECT queue, array_agg(tenant ORDER BY tenant) AS tenants
          FROM queue_policies WHERE events GROUP BY queue) AS policies;
    IF followed IS NULL THEN
        FOR kind IN
            SELECT tgname FROM pg_trigger WHERE tgrelid = 'live'::regclass AND tgname LIKE 'record_change_%'
        LOOP
            EXECUTE format('ALTER TABLE live DISABLE TRIGGER %I', kind);
        END LOOP;
        RETURN 0;
    END IF;
    condition := CASE WHEN cardinality(followed) = 1 THEN format('{row}.queue = %L', followed[1])
                      ELSE format('{row}.queue = ANY (%L::text[])', followed) END;
    IF of_tenants IS NOT NULL THEN
        condition := format(
            '%s AND ({row}.queue <> ALL (%L::text[]) OR %s)', condition,
            (SELECT array_agg(DISTINCT queue) FROM queue_policies
             WHERE events AND queue NOT IN (SELECT queue FROM queue_policies WHERE events AND tenant = 0)),
            of_tenants);
    END IF;
    EXECUTE 'CREATE OR REPLACE TRIGGER record_change_insert AFTER INSERT ON live FOR EACH ROW WHEN ('
        || replace(condition, '{row}', 'NEW') || ') EXECUTE FUNCTION record_change()';
    EXECUTE 'CREATE OR REPLACE TRIGGER record_change_delete AFTER DELETE ON live FOR EACH ROW WHEN ('
        || replace(condition, '{row}', 'OLD') || ') EXECUTE FUNCTION record_change()';
    EXECUTE 'CREATE OR REPLACE TRIGGER record_change_update AFTER UPDATE OF worker, attempt, claimable_at ON live '
        'FOR EACH ROW WHEN ('
        || replace(condition, '{row}', 'NEW') || ') EXECUTE FUNCTION record_change()';
    FOREACH kind IN ARRAY ARRAY['insert', 'delete', 'update'] LOOP
        EXECUTE format('ALTER TABLE live ENABLE TRIGGER record_change_%s', kind);
    END LOOP;
    RETURN cardinality(followed);
END $$;
REVOKE EXECUTE ON FUNCTION set_followed_queues FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION set_followed_queues SET search_path = %I, pg_temp', current_schema());
END $$;
"""
