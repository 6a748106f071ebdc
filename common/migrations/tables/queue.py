"""The tables of the first schema for policies of queues. A queue without a policy has no row."""

QUEUES = """
CREATE TABLE queue_policies (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    rev bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    paused_at timestamptz,
    rate double precision,
    burst double precision,
    tokens double precision NOT NULL DEFAULT 0,
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    key_rate double precision,
    key_burst double precision,
    concurrency integer,
    key_concurrency integer,
    events boolean NOT NULL DEFAULT false,
    managed boolean NOT NULL DEFAULT false,
    in_force boolean GENERATED ALWAYS AS (
        num_nonnulls(paused_at, concurrency, rate, key_concurrency, key_rate) > 0) STORED,
    changed_by text,
    CONSTRAINT queue_policies_pkey PRIMARY KEY (queue, tenant),
    CONSTRAINT queue_policies_concurrency_positive CHECK (concurrency > 0),
    CONSTRAINT queue_policies_rate_positive CHECK (rate > 0),
    CONSTRAINT queue_policies_rate_has_burst CHECK ((rate IS NULL) = (burst IS NULL) AND burst >= 1),
    CONSTRAINT queue_policies_key_concurrency_positive CHECK (key_concurrency > 0),
    CONSTRAINT queue_policies_key_rate_positive CHECK (key_rate > 0),
    CONSTRAINT queue_policies_key_rate_has_burst CHECK ((key_rate IS NULL) = (key_burst IS NULL) AND key_burst >= 1)
) WITH (fillfactor = 20);

CREATE TABLE queue_slots (
    queue text NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    n integer NOT NULL,
    worker bigint,
    CONSTRAINT queue_slots_pkey PRIMARY KEY (queue, tenant, n)
) WITH (fillfactor = 20);

CREATE TABLE concurrency_keys (
    filled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tokens double precision,
    tenant integer NOT NULL DEFAULT 1,
    queue text NOT NULL,
    key text NOT NULL,
    ids uuid[] NOT NULL DEFAULT '{}',
    CONSTRAINT concurrency_keys_pkey PRIMARY KEY (tenant, queue, key)
) WITH (fillfactor = 50);
CREATE INDEX concurrency_keys_filled_at ON concurrency_keys (filled_at);
"""

# For KEDA: running jobs, and waiting ones that a pause or a limit of their queue does not keep from starting. Counted
# up to `most`. A limit of one tenant among several says nothing of the others' jobs.
QUEUE_FUNCTIONS = """
CREATE FUNCTION queue_depth(of_queue text, most bigint) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER AS $$
    WITH policies AS (
        SELECT p.* FROM queue_policies p
        WHERE p.queue = of_queue AND p.in_force
          AND (p.tenant = 0 OR (SELECT count(*) FROM (SELECT FROM tenants LIMIT 2) t) < 2)),
    counted AS (
        SELECT count(*) FILTER (WHERE due.worker IS NULL) AS queued, count(due.worker) AS running
        FROM (SELECT l.worker FROM live l
              WHERE l.queue = of_queue AND l.claimable_at <= now()
                AND (l.worker IS NOT NULL OR NOT EXISTS (
                     SELECT FROM queue_policies q
                     WHERE q.queue = of_queue AND q.paused_at IS NOT NULL AND q.tenant IN (0, l.tenant)))
              LIMIT most) due)
    SELECT running + greatest(0, least(
               queued, (SELECT min(concurrency) FROM policies) - running,
               (SELECT min(ceil(least(burst, tokens + rate * greatest(
                    0, extract(epoch FROM clock_timestamp() - filled_at))) + rate)) FROM policies)))::bigint
    FROM counted
$$;
REVOKE EXECUTE ON FUNCTION queue_depth FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION queue_depth SET search_path = %I, pg_temp', current_schema());
END $$;
"""
