"""The schema itself: its creation, and what a migration must find in it. Errors say which SQL an administrator runs."""

import psycopg2.errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from common.domain.errors import StartupError
from common.settings import Settings
from common.store.schema.obstacles import SchemaState, foreign
from common.store.schema.version import wait_for_exclusive

_EXISTS = text("SELECT to_regnamespace(quote_ident(:schema)) IS NOT NULL")
_WHO = text("SELECT quote_ident(current_user), quote_ident(current_database())")
_MAY_CREATE = text(
    "SELECT has_schema_privilege(current_schema(), 'USAGE') AND has_schema_privilege(current_schema(), 'CREATE')"
)


def create(engine: Engine, settings: Settings) -> None:
    """Create the schema if it does not exist. Raises StartupError with the SQL to run if the role may not do so."""
    schema = settings.database_schema
    with engine.begin() as connection:
        role, database = connection.execute(_WHO).one()
        wait_for_exclusive(connection, "schema", in_database=True)
        if connection.execute(_EXISTS, {"schema": schema}).scalar_one():
            return
        try:
            connection.exec_driver_sql(f'CREATE SCHEMA "{schema}"')
        except DBAPIError as error:
            if not isinstance(error.orig, psycopg2.errors.InsufficientPrivilege):
                raise
            raise StartupError(
                f"the role {role} may not create the schema {schema} in the database {database}; "
                f'its owner creates it: CREATE SCHEMA "{schema}" AUTHORIZATION {role}'
            ) from error


def check_own(connection: Connection, settings: Settings) -> None:
    """Raise StartupError if the schema has tables of another program."""
    state = SchemaState(*connection.exec_driver_sql(SchemaState.query(settings)).one())
    if state.has_tables and not state.is_of_jobproc:
        raise StartupError(foreign(settings.database_schema, state.database))


def check_may_create(connection: Connection, settings: Settings) -> None:
    """Raise StartupError with the SQL to run if the role may not create tables in the schema."""
    if not connection.execute(_MAY_CREATE).scalar_one():
        role, database = connection.execute(_WHO).one()
        raise StartupError(
            f"the role {role} may not create tables in the schema {settings.database_schema} of the database "
            f'{database}; its owner allows it: GRANT USAGE, CREATE ON SCHEMA "{settings.database_schema}" TO {role}'
        )
