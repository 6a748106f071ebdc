"""The table of the first schema for workflows, beside `batches`, which has a row for each workflow."""

# A job that waits for one which has added jobs to its workflow waits for these too.
WORKFLOWS = """
CREATE TABLE added_parents (
    child uuid NOT NULL,
    adder uuid NOT NULL,
    tenant integer NOT NULL DEFAULT 1,
    parents uuid[] NOT NULL,
    CONSTRAINT added_parents_pkey PRIMARY KEY (child, adder)
);
"""
