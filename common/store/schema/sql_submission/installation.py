"""Creates the function `submit` with its role and its rights, changes them, or drops them."""

import psycopg2.errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from common.domain.errors import StartupError
from common.settings import Settings
from common.store.schema.sql_submission.function import MAKE_TABLE, SIGNATURE, TABLE, TRIGGER_FUNCTION, function, move
from common.store.schema.version import wait_for_exclusive

PART = "sql_submit"
SETTING = "JOBPROC_SQL_SUBMIT_ROLES"
NEEDS = "CASE spec.version WHEN 1 THEN submit.operation ELSE submit.operation || '@' || spec.version END"
#: By table: the rights of the role as which the function runs. The last one is for the trigger of followed queues.
RIGHTS = {
    "jobs": "INSERT",
    "live": "SELECT (id, tenant, worker, claimable_at), INSERT, UPDATE (claimable_at)",
    "tags": "INSERT",
    "idempotency_keys": "SELECT, INSERT, UPDATE (ids, digest, until, batch)",
    "operations": "SELECT (name, queue, queues, max_attempts, timeout_ms, version)",
    "tenants": "SELECT (id, name, state)",
    "webhook_endpoints": "SELECT (id, tenant, is_default)",
    "feed_changes": "INSERT",
}
_MISSING = text(
    "SELECT r FROM unnest(CAST(:names AS text[])) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r)"
)
_PLACE = text("SELECT quote_ident(current_schema()), current_setting('is_superuser') = 'on'")
_FUNCTION = text("SELECT to_regprocedure(:name) IS NOT NULL")
_GRANTEES = text("""
    SELECT quote_ident(r.rolname) FROM pg_proc p, aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
    WHERE p.oid = to_regprocedure(:name) AND a.grantee <> p.proowner
""")


def tenants_of(settings: Settings) -> list[tuple[str, str]]:
    """Return the roles that submit, each with its tenant."""
    pairs = (pair.partition("=") for pair in settings.sql_submit_roles.split(",") if pair)
    return sorted({role: tenant for role, _, tenant in pairs}.items())


def role_of(settings: Settings) -> str | None:
    """Return the name of the role as which the function runs. None: nobody submits by SQL."""
    return f"{settings.database_roles}_{PART}" if settings.sql_submit_roles else None


def create_role(engine: Engine, settings: Settings) -> str | None:
    """Create the role of the function, which cannot log in, and return its name. None: nobody submits by SQL.

    Raises StartupError if a role is missing and cannot be created.
    """
    role = role_of(settings)
    if role is None:
        return None
    if not settings.database_roles:
        raise StartupError(f"{SETTING} needs JOBPROC_DATABASE_ROLES: the function runs as a role of its own")
    with engine.begin() as connection:
        wait_for_exclusive(connection, "roles", in_database=True)
        names = [name for name, _ in tenants_of(settings)]
        if missing := connection.execute(_MISSING, {"names": names}).scalars().all():
            raise StartupError(f"{SETTING} names roles that PostgreSQL does not have: {', '.join(missing)}")
        if connection.execute(_MISSING, {"names": [role]}).scalars().all():
            try:
                connection.exec_driver_sql(f"CREATE ROLE {role} NOLOGIN")
            except DBAPIError as error:
                if not isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
                    raise
                raise StartupError(f"{SETTING}: the role {role} cannot be created, so create it (NOLOGIN)") from error
    return role


def install(connection: Connection, role: str | None, settings: Settings) -> None:
    """Create the function anew and grant its use, or drop it if nobody submits by SQL. The caller commits."""
    schema, is_superuser = connection.execute(_PLACE).one()
    exists = connection.execute(_FUNCTION, {"name": SIGNATURE}).scalar_one()
    former = connection.execute(_GRANTEES, {"name": SIGNATURE}).scalars().all() if exists else []
    for name in former:
        connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {SIGNATURE} FROM {name}")
        connection.exec_driver_sql(f"REVOKE USAGE ON SCHEMA {schema} FROM {name}")
    if role is None:
        if exists:
            connection.exec_driver_sql(
                f"DROP FUNCTION {SIGNATURE}; DROP TABLE {TABLE}; DROP FUNCTION {TRIGGER_FUNCTION}"
            )
        return
    tenants = tenants_of(settings)
    names = ", ".join(f'"{name}"' for name, _ in tenants)
    statements = [f"GRANT USAGE ON SCHEMA {schema} TO {role}, {names}"]
    statements += [
        move(schema).replace("%", "%%"),
        *([] if exists else [MAKE_TABLE]),
        f"REVOKE EXECUTE ON FUNCTION {TRIGGER_FUNCTION} FROM PUBLIC",
    ]
    statements += [f"REVOKE ALL ON {table} FROM {role}" for table in RIGHTS]
    statements += [f"GRANT {rights} ON {table} TO {role}" for table, rights in RIGHTS.items()]
    statements += [
        # Its percent signs are none of the driver.
        function(schema, tenants, NEEDS, settings).replace("%", "%%"),
        f"REVOKE EXECUTE ON FUNCTION {SIGNATURE} FROM PUBLIC",
        f"GRANT EXECUTE ON FUNCTION {SIGNATURE} TO {names}",
    ]
    if not is_superuser:  # who gives a function to a role must be one of its members, and it must be able to create
        statements += [f"GRANT {role} TO CURRENT_USER", f"GRANT CREATE ON SCHEMA {schema} TO {role}"]
    # A table is locked by a change of its owner, also to the one that it has.
    owned = [f"FUNCTION {SIGNATURE}", f"FUNCTION {TRIGGER_FUNCTION}", *([] if exists else [f"TABLE {TABLE}"])]
    statements += [f"ALTER {thing} OWNER TO {role}" for thing in owned]
    if not is_superuser:
        statements.append(f"REVOKE CREATE ON SCHEMA {schema} FROM {role}")
    for statement in statements:
        connection.exec_driver_sql(statement)
