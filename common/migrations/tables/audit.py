"""The table of the first schema for the audit log. Rows are only ever inserted, and go with their partition."""

AUDIT = """
CREATE TABLE audit_entries (
    tenant integer NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    subject text NOT NULL,
    address text NOT NULL,
    request_id text NOT NULL,
    action text NOT NULL,
    thing text NOT NULL,
    details json NOT NULL,
    CONSTRAINT audit_entries_pkey PRIMARY KEY (tenant, id)
) PARTITION BY RANGE (id);

CREATE FUNCTION drop_audit_partition(suffix text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF suffix !~ '^[0-9]{8}$' THEN
        RAISE EXCEPTION 'the audit log has no partition of %', suffix;
    END IF;
    EXECUTE format('DROP TABLE %I', 'audit_entries_' || suffix);
END $$;
REVOKE EXECUTE ON FUNCTION drop_audit_partition FROM PUBLIC;
DO $$ BEGIN
    EXECUTE format('ALTER FUNCTION drop_audit_partition SET search_path = %I, pg_temp', current_schema());
END $$;
"""
