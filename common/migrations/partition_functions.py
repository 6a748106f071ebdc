"""Functions of the first schema that create and drop partitions. They run with the rights of the owner."""

# API and controller create partitions, and the controller drops them, without owning the tables. A role that may
# truncate a table gets its rights on the new partition too: retention reads, truncates and refills partitions by name.
# A partition has the policies of its table.
PARTITION_FUNCTIONS = """
CREATE FUNCTION create_partition(parent text, suffix text, first uuid, after uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    child text := parent || '_' || suffix;
    granted record;
    policy record;
BEGIN
    IF parent NOT IN ('jobs', 'outcomes', 'attempts', 'tags', 'job_logs', 'audit_entries')
       OR suffix !~ '^[0-9]{8}$' THEN
        RAISE EXCEPTION 'no table of jobproc has a partition %', child;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', child, parent);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', child);
    FOR policy IN
        SELECT polname AS name, pg_get_expr(polqual, polrelid) AS condition,
               (SELECT string_agg(quote_ident(rolname), ', ') FROM pg_roles WHERE oid = ANY (polroles)) AS roles
        FROM pg_policy WHERE polrelid = parent::regclass
    LOOP
        EXECUTE format('CREATE POLICY %I ON %I TO %s USING (%s)', policy.name, child, policy.roles, policy.condition);
    END LOOP;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, child, first, after);
    FOR granted IN
        SELECT grantee::regrole AS role, string_agg(privilege_type, ', ') AS rights
        FROM pg_class c, aclexplode(c.relacl) WHERE c.oid = parent::regclass AND grantee <> c.relowner
        GROUP BY grantee HAVING bool_or(privilege_type = 'TRUNCATE')
    LOOP
        EXECUTE format('GRANT %s ON %I TO %s', granted.rights, child, granted.role);
    END LOOP;
END $$;

CREATE FUNCTION drop_partitions(suffix text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    names text;
    has_jobs boolean;
BEGIN
    IF suffix !~ '^[0-9]{8}$' THEN
        RAISE EXCEPTION 'no table of jobproc has a partition of %', suffix;
    END IF;
    names := format('%I, %I, %I, %I, %I', 'jobs_' || suffix, 'outcomes_' || suffix, 'attempts_' || suffix,
                    'tags_' || suffix, 'job_logs_' || suffix);
    EXECUTE 'LOCK TABLE jobs, outcomes, attempts, tags, job_logs, ' || names || ' IN ACCESS EXCLUSIVE MODE';
    EXECUTE format('SELECT EXISTS (SELECT FROM %I)', 'jobs_' || suffix) INTO has_jobs;
    IF NOT has_jobs THEN
        EXECUTE 'DROP TABLE ' || names;
    END IF;
END $$;

REVOKE EXECUTE ON FUNCTION create_partition, drop_partitions FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION create_partition SET search_path = %I, pg_temp', current_schema());
    EXECUTE format('ALTER FUNCTION drop_partitions SET search_path = %I, pg_temp', current_schema());
END $$;
"""
