"""Databases for one test, or for one file of tests."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2

TEMPLATE = "jobproc_template"  # migrated once a session
SERVERS = "JOBPROC_TESTS_POSTGRES"


@contextmanager
def database(template: str | None = TEMPLATE) -> Iterator[str]:
    """Yield the URL of a new database, migrated unless `template` is None. Fail if a deadlock happened in it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    url_template = os.environ[SERVERS]
    connection = psycopg2.connect(url_template.format("postgres"))
    connection.autocommit = True
    cursor = connection.cursor()
    # Files are copied in two thirds of the time that a copy through the log takes.
    cursor.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY file_copy" if template else ""))
    try:
        yield url_template.format(name)
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = %s", (name,))
        deadlocks = cursor.fetchone()
    finally:
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.close()
    assert deadlocks is None or deadlocks[0] == 0, "a deadlock happened"
