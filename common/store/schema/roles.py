"""The roles of PostgreSQL with which the parts of jobproc connect, and the rights of each.

A part has the rights that its statements need and no others: ARCHITECTURE.md has the same as a table. All rights are
granted anew by each migration. A role of an earlier version must be able to go on, so a right is taken away a version
after the last code that needs it.
"""

from collections.abc import Mapping

import psycopg2.errors
from psycopg2.extensions import encrypt_password
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from common.models import Base
from common.settings import Settings
from common.store.schema import partitions, row_security
from common.store.schema.version import wait_for_exclusive
from common.telemetry import logs

log = logs.get("migrate")
HAS_MAINTAIN = 170_000  # the version of PostgreSQL from which on there is this right
PARTS = ("api", "worker", "controller", "metrics")
VIEW = "job_states"
VERSION_TABLE = "alembic_version"
CREATE_PARTITION, DROP_PARTITIONS = "create_partition(text, text, uuid, uuid)", "drop_partitions(text)"
DROP_AUDIT_PARTITION = "drop_audit_partition(text)"
SET_FOLLOWED_QUEUES, RECORD_CHANGE = "set_followed_queues()", "record_change()"
QUEUE_DEPTH = "queue_depth(text, bigint)"
#: By part: the functions that it may call. The API creates a partition whose day a submission finds missing.
FUNCTIONS = {
    "api": [CREATE_PARTITION, SET_FOLLOWED_QUEUES],
    "controller": [CREATE_PARTITION, DROP_PARTITIONS, DROP_AUDIT_PARTITION],
    "metrics": [QUEUE_DEPTH],
}
#: By part and table. A lock of a row (FOR UPDATE) needs the right to change a column of it.
RIGHTS: Mapping[str, Mapping[str, str]] = {
    "api": {
        "jobs": "SELECT, INSERT, UPDATE (trace)",  # the UPDATE for the lock of a manual retry
        "live": "SELECT, INSERT, UPDATE (cancel_requested, rev, claimable_at), DELETE",
        "outcomes": "SELECT, INSERT",
        "attempts": "SELECT",
        "job_logs": "SELECT",
        "tags": "SELECT, INSERT",
        "deadlines": "SELECT, INSERT",
        "expiries": "SELECT, INSERT",
        "runs": "SELECT, INSERT",
        "idempotency_keys": "SELECT, INSERT, UPDATE",
        "unique_keys": "SELECT, INSERT, UPDATE",
        "batches": "SELECT, INSERT, UPDATE (place, closed_at, ended_at, cancelled_at, jobs, numbers, failed, "
        "cancelled, rev, follow_up_job, cancel_action, retried)",
        "added_parents": "SELECT",
        "bulk_actions": "SELECT, INSERT, UPDATE (phase, changed_at, started_at, started_by, first, error)",
        "bulk_action_jobs": "SELECT",
        "schedules": "SELECT, INSERT, UPDATE, DELETE",
        "schedule_fires": "SELECT, INSERT",
        "queue_policies": "SELECT, INSERT, UPDATE",
        "queue_slots": "SELECT, INSERT",
        "feed_changes": "SELECT, INSERT, DELETE",
        "feed_pages": "SELECT, INSERT",
        "feeds": "SELECT, INSERT, UPDATE (last_number)",
        "concurrency_keys": "SELECT",
        "webhook_endpoints": "SELECT, INSERT, UPDATE, DELETE",
        "webhook_secrets": "SELECT (endpoint, id, tenant, created_at, expires_at), INSERT, UPDATE (expires_at), DELETE",
        "audit_entries": "SELECT, INSERT",
        "api_keys": "SELECT, INSERT, UPDATE (expires_at, revoked_at, last_used_at, changed_in)",
        "leaders": "SELECT",
        "console_sessions": "SELECT, INSERT, UPDATE (used_at), DELETE",
        "workers": "SELECT",
        "operations": "SELECT",
        "tenants": "SELECT, INSERT, UPDATE",
        "tenant_usage": "SELECT",
        "usage_counts": "SELECT",
        "stored_bytes": "INSERT (tenant, hour, bytes)",
        VIEW: "SELECT",
    },
    "worker": {
        # The INSERT into the first three: the deliveries of webhooks, and the jobs that a running job adds.
        "jobs": "SELECT, INSERT",
        "tags": "INSERT",
        "live": "SELECT, INSERT, DELETE, UPDATE (worker, attempt, rev, started_at, claimable_at, due_since, "
        "running_key, concurrency_key, needs, released, crashes, isolated, progress, progress_text)",
        "outcomes": "SELECT (id, tenant, run, attempt, worker, status, result, error_type), INSERT",
        "attempts": "SELECT (id, attempt, worker, error_type), INSERT",
        "job_logs": "SELECT (id, run, attempt, total_bytes), INSERT, DELETE",
        "runs": "SELECT",
        "batches": "SELECT, UPDATE (place, jobs, numbers, rev)",
        "added_parents": "SELECT, INSERT",
        "unique_keys": "SELECT, INSERT, UPDATE",
        "workers": "SELECT, INSERT, UPDATE (alive_until, ended_at, busy_since, held_jobs, low_water_marks, "
        "line_marks, finished_by_minute, operations)",
        "operations": "SELECT, INSERT, UPDATE",
        "webhook_endpoints": "SELECT, UPDATE (rev, changed_at, failures, failing_since, open_until, last_success_at, "
        "last_failure_at, last_failure, disabled_at, disabled_reason)",
        "webhook_secrets": "SELECT",
        "tenants": "SELECT",
        "queue_policies": "SELECT, UPDATE (tokens, filled_at)",
        "queue_slots": "SELECT, UPDATE (worker)",
        "feed_changes": "INSERT",
        "concurrency_keys": "SELECT, INSERT, UPDATE",
        "tenant_usage": "SELECT (tenant, running)",
        "usage_counts": "SELECT",
    },
    "controller": {
        # TRUNCATE and INSERT: retention by partition, which copies back what stays.
        "jobs": "SELECT, INSERT, DELETE, TRUNCATE, UPDATE (input)",
        "outcomes": "SELECT, INSERT, DELETE, TRUNCATE",
        "attempts": "SELECT, INSERT, DELETE, TRUNCATE",
        "tags": "SELECT, INSERT, DELETE, TRUNCATE",
        "job_logs": "SELECT, INSERT, DELETE, TRUNCATE",
        "live": "SELECT, INSERT, UPDATE, DELETE",
        "deadlines": "SELECT, INSERT, DELETE, UPDATE (at)",
        "expiries": "SELECT, INSERT, DELETE, UPDATE (at)",
        "runs": "SELECT, INSERT, DELETE, UPDATE (input)",
        "idempotency_keys": "SELECT, DELETE, UPDATE (until)",
        "unique_keys": "SELECT, INSERT, UPDATE, DELETE",
        "batches": "SELECT, DELETE, UPDATE (place, frontier, closed_at, ended_at, failed, cancelled, rev, "
        "follow_up_job, retried, gone, gone_failed, gone_cancelled)",
        "added_parents": "SELECT, DELETE",
        "bulk_actions": "SELECT, UPDATE, DELETE",
        "bulk_action_jobs": "SELECT, INSERT, DELETE",
        "schedules": "SELECT, DELETE, UPDATE (next_at, due_at, pending_at, last_at, last_job)",
        "schedule_fires": "SELECT, INSERT, DELETE",
        "queue_policies": "SELECT",
        "queue_slots": "SELECT",
        "feed_changes": "SELECT, INSERT, DELETE",
        "feed_pages": "SELECT, INSERT, DELETE",
        "feeds": "SELECT, INSERT, UPDATE, DELETE",
        "concurrency_keys": "SELECT, DELETE, UPDATE (ids)",
        "webhook_endpoints": "SELECT, DELETE",
        "webhook_secrets": "SELECT (endpoint, id, tenant, expires_at), DELETE",
        "webhook_sweeps": "SELECT, INSERT, UPDATE, DELETE",
        "workers": "SELECT, DELETE, UPDATE (ended_at)",
        "operations": "SELECT, DELETE",
        "leaders": "SELECT, INSERT, UPDATE",
        "tenants": "SELECT, DELETE",
        "api_keys": "SELECT (tenant, created_by, expires_at, revoked_at), DELETE",
        "console_sessions": "SELECT (tenant), DELETE",
        "tenant_usage": "SELECT, INSERT, UPDATE, DELETE",
        "usage_counts": "SELECT, INSERT, UPDATE",
        "stored_bytes": "SELECT, INSERT, DELETE",
        VIEW: "SELECT",
    },
    "metrics": {},  # KEDA calls a function
}
_TABLES = sorted(Base.metadata.tables)
_ROLE_EXISTS = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :name)")
_IS_SUPERUSER = text("SELECT current_setting('is_superuser') = 'on', current_setting('server_version_num')::int")
_CURRENT_USER = text("SELECT quote_ident(current_user)")
_PLACE = text("SELECT quote_ident(current_schema()), quote_ident(current_database())")
_PARTITIONS = text("""
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = CAST(:parent AS regclass) ORDER BY 1
""")
# The view after the tables that it reads: its owner must be able to read them.
_OWNED_BY_OTHERS = text("""
    SELECT relname FROM pg_class
    WHERE oid = ANY (CAST(:names AS regclass[])) AND pg_get_userbyid(relowner) <> :owner
    ORDER BY relkind = 'v', relname
""")
_FUNCTION_OWNED_BY_OTHERS = text("""
    SELECT EXISTS (
        SELECT FROM pg_proc WHERE oid = CAST(:name AS regprocedure) AND pg_get_userbyid(proowner) <> :owner)
""")


def role_of(prefix: str, part: str) -> str:
    """Return the name of the role of a part."""
    return f"{prefix}_{part}"


def create(engine: Engine, settings: Settings) -> dict[str, str]:
    """Create the roles of the parts with their passwords, and return the existing ones by part.

    Logs a sentence if roles are missing, such as without the right to create them: their parts can only connect with
    the role of the migration.
    """
    existing: dict[str, str] = {}
    missing: dict[str, str] = {}
    for part in PARTS if settings.database_roles else ():
        role, password = role_of(settings.database_roles, part), getattr(settings, f"{part}_database_password")
        try:
            with engine.begin() as connection:
                wait_for_exclusive(connection, "roles", in_database=True)
                exists = bool(connection.execute(_ROLE_EXISTS, {"name": role}).scalar_one())
                if password:
                    verifier = encrypt_password(password, role, connection.connection.driver_connection)
                    verb = "ALTER" if exists else "CREATE"
                    # As a parameter, which the text of an error does not have.
                    connection.exec_driver_sql(f"{verb} ROLE {role} LOGIN PASSWORD %s", (verifier,))
                    exists = True
            reason = "it has no password in the settings"
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
                raise
            reason = str(error.orig).partition("\n")[0]
        if exists:
            existing[part] = role
        else:
            missing[role] = reason
    if settings.database_roles:
        _create_owner(engine, settings)
    if missing:
        log.warning("roles_missing", roles=", ".join(missing), reason=", ".join(sorted(set(missing.values()))))
    return existing


def _create_owner(engine: Engine, settings: Settings) -> None:
    """Create the role without a login that will own the schema, if the migration runs as a superuser."""
    with engine.begin() as connection:
        is_superuser, _ = connection.execute(_IS_SUPERUSER).one()
        wait_for_exclusive(connection, "roles", in_database=True)
        owner = role_of(settings.database_roles, "owner")
        if is_superuser and not connection.execute(_ROLE_EXISTS, {"name": owner}).scalar_one():
            connection.exec_driver_sql(f"CREATE ROLE {owner} NOLOGIN")


def secure(
    connection: Connection, roles: Mapping[str, str], settings: Settings, submitting_role: str | None = None
) -> None:
    """Give the tables the policies of row level security. The caller commits.

    `submitting_role`: that of the function `submit`, which sees the rows of the tenants of its callers, as the API.
    """
    is_superuser, _ = connection.execute(_IS_SUPERUSER).one()
    owner = role_of(settings.database_roles, "owner") if settings.database_roles and is_superuser else None
    current = owner or connection.execute(_CURRENT_USER).scalar_one()
    row_security.apply(connection, roles, current, [submitting_role] if submitting_role else [])


def grant(connection: Connection, roles: Mapping[str, str]) -> None:
    """Give each role the rights of its part, and no others, on the schema as it is. The caller commits."""
    if not roles:
        return
    schema, database = connection.execute(_PLACE).one()
    is_superuser, version = connection.execute(_IS_SUPERUSER).one()
    names = ", ".join(roles.values())
    of_table = {table: _partitions(connection, table) for table in partitions.TABLES}
    of_audit = _partitions(connection, partitions.AUDIT)
    everything = [
        *_TABLES,
        VIEW,
        VERSION_TABLE,
        *of_audit,
        *(name for children in of_table.values() for name in children),
    ]
    statements = [f"GRANT CONNECT ON DATABASE {database} TO {names}", f"GRANT USAGE ON SCHEMA {schema} TO {names}"]
    statements.append(f"REVOKE ALL ON {', '.join(everything)} FROM {names}")
    statements.append(f"GRANT SELECT ON {VERSION_TABLE} TO {names}")
    for part, role in roles.items():
        statements += [f"GRANT {rights} ON {table} TO {role}" for table, rights in RIGHTS[part].items()]
        statements += [f"GRANT EXECUTE ON FUNCTION {function} TO {role}" for function in FUNCTIONS.get(part, ())]
    if controller := roles.get("controller"):
        for children in of_table.values():
            partition_rights = "SELECT, INSERT, DELETE, TRUNCATE"
            statements += [f"GRANT {partition_rights} ON {', '.join(children)} TO {controller}"] if children else []
        statements.append(f"GRANT TEMPORARY ON DATABASE {database} TO {controller}")
        if version >= HAS_MAINTAIN:
            statements.append(f"GRANT MAINTAIN ON live TO {controller}")  # it clears the planner's statistics
        if is_superuser:
            statements.append(f"GRANT pg_read_all_stats TO {controller}")  # the age of others' transactions
    for statement in statements:
        connection.exec_driver_sql(statement)


def transfer(engine: Engine, settings: Settings) -> None:
    """Give the schema to a role without a login, if the migration runs as a superuser: functions run as their owner.

    Each table is locked for a moment, in a transaction of its own. Raises OperationalError on a lock timeout: a later
    run continues.
    """
    with engine.begin() as connection:
        is_superuser, _ = connection.execute(_IS_SUPERUSER).one()
        if not settings.database_roles or not is_superuser:
            return
        owner = role_of(settings.database_roles, "owner")
        schema, _ = connection.execute(_PLACE).one()
        connection.exec_driver_sql(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}")
        of_table = [name for table in (*partitions.TABLES, partitions.AUDIT) for name in _partitions(connection, table)]
        names = [*_TABLES, VIEW, VERSION_TABLE, *of_table]
        foreign = connection.execute(_OWNED_BY_OTHERS, {"names": names, "owner": owner}).scalars().all()
        functions = [
            name
            for name in (
                CREATE_PARTITION,
                DROP_PARTITIONS,
                DROP_AUDIT_PARTITION,
                SET_FOLLOWED_QUEUES,
                RECORD_CHANGE,
                QUEUE_DEPTH,
            )
            if connection.execute(_FUNCTION_OWNED_BY_OTHERS, {"name": name, "owner": owner}).scalar_one()
        ]
    for statement in [*(f"TABLE {name}" for name in foreign), *(f"FUNCTION {name}" for name in functions)]:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER {statement} OWNER TO {owner}")


def _partitions(connection: Connection, table: str) -> list[str]:
    return list(connection.execute(_PARTITIONS, {"parent": table}).scalars())
