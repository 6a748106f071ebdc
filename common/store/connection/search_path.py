"""The schema in which statements find jobproc's tables: as a search path, or written before their names."""

import re

from common.settings import Settings

#: The tables and the view that the API's statements name. A test compares them with the models.
TABLES = (
    "added_parents",
    "alembic_version",
    "api_keys",
    "attempts",
    "audit_entries",
    "batches",
    "bulk_action_jobs",
    "bulk_actions",
    "concurrency_keys",
    "console_sessions",
    "deadlines",
    "expiries",
    "feed_changes",
    "feed_pages",
    "feeds",
    "idempotency_keys",
    "job_logs",
    "job_states",
    "jobs",
    "leaders",
    "live",
    "operations",
    "outcomes",
    "queue_policies",
    "queue_slots",
    "runs",
    "schedule_fires",
    "schedules",
    "stored_bytes",
    "tags",
    "tenant_usage",
    "tenants",
    "unique_keys",
    "usage_counts",
    "webhook_endpoints",
    "webhook_secrets",
    "webhook_sweeps",
    "workers",
)
#: Under it a statement finds no table without its schema.
NO_TABLES = "pg_catalog"
_NAMED = re.compile(rf"\b(FROM |JOIN |INTO |UPDATE |USING )({'|'.join(TABLES)})\b")
_AS_REGCLASS = re.compile(rf"(')({'|'.join(TABLES)})(?='::regclass)")


def search_path(settings: Settings) -> str:
    """Return the search path of every session: the schema alone, quoted, because its name may be a word of SQL.

    PostgreSQL searches its own functions and operators first. Nothing else of the database is found by its name.
    """
    return f'"{settings.database_schema}"'


def qualified(sql: str, path: str) -> str:
    """Return a statement with the search path's schema before each name of a table."""
    named = rf"\1{path}.\2"
    return _AS_REGCLASS.sub(named, _NAMED.sub(named, sql))
