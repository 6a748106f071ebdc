"""The table of the first schema for log lines of attempts."""

JOB_LOGS = """
CREATE TABLE job_logs (
    id uuid NOT NULL,
    run smallint NOT NULL,
    attempt smallint NOT NULL,
    last_line integer NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    total_bytes bigint NOT NULL,
    lines json NOT NULL,
    CONSTRAINT job_logs_pkey PRIMARY KEY (id, run, attempt, last_line)
) PARTITION BY RANGE (id);
"""
