"""Connections of workers and controllers to PostgreSQL, by psycopg2."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name

from common.settings import SecretFileError, Settings
from common.store.connection.keepalives import KEEPALIVES
from common.store.connection.outages import is_outage_code
from common.store.connection.pooler import TRANSACTION_SETTINGS, application_name, pooled
from common.store.connection.search_path import search_path
from common.store.connection.statement import INDEX_PLAN_SETTINGS, Row, Statement

# Statements expect to see what others have committed before they got a row's lock, whatever a database has as default.
READ_COMMITTED = r"-c default_transaction_isolation=read\ committed"


class DatabaseUnavailable(psycopg2.OperationalError):
    """The connection is lost, or PostgreSQL refuses service: the caller retries on a new connection."""

    def __init__(self, error: psycopg2.Error) -> None:
        super().__init__(str(error))
        self.sqlstate = error.pgcode  #: None: the driver's own error


def is_outage(error: psycopg2.Error, connection: PgConnection) -> bool:
    """Return True if a statement failed because the connection is lost or PostgreSQL refuses service."""
    if error.pgcode is not None:
        return bool(connection.closed) or is_outage_code(error.pgcode)
    # The driver's own error. If a write fails while a message of the server is unread, it is a plain DatabaseError, and
    # the connection seems open. Its other errors, such as an argument of an unknown type, are not of the connection.
    is_plain = type(error) is psycopg2.DatabaseError
    return is_plain or isinstance(error, (psycopg2.OperationalError, psycopg2.InterfaceError))


def connect(settings: Settings, name: str) -> PgConnection:
    """Return a connection; unless through a pooler, it finds jobproc's schema, in UTC, with a lock timeout.

    Raises DatabaseUnavailable. The files of secrets are read anew. `name` shows in pg_stat_activity.
    """
    try:
        server = settings.current_database_server()
    except SecretFileError as error:
        raise DatabaseUnavailable(psycopg2.OperationalError(str(error))) from error
    path = f"-c search_path={search_path(settings)}"
    limits = f"{path} -c lock_timeout={lock_timeout_ms(settings)} -c timezone=UTC -c datestyle=ISO {READ_COMMITTED}"
    if pooled(settings):
        limits = ""  # a pooler refuses them, also where the setting was forgotten
    parameters: dict[str, Any] = {
        **KEEPALIVES,
        # Bounds how long sent data may stay unacknowledged; keepalives do not cover that.
        "tcp_user_timeout": round(settings.statement_timeout_seconds * 1000),
        "connect_timeout": max(2, round(settings.database_timeout_seconds)),
        **server.parameters,
        "application_name": application_name(settings, name),
        "options": f"{server.parameters.get('options', '')} {limits}".strip() or None,  # the last of two counts
        # As asyncpg does always.
        "client_encoding": "UTF8",
        "gssencmode": "disable",
    }
    try:
        connection: PgConnection = psycopg2.connect(
            host=",".join(host for host, _ in server.hosts),
            port=",".join(str(port) for _, port in server.hosts),
            user=server.user,
            password=server.password,
            dbname=server.database,
            target_session_attrs=server.target_session_attrs,
            **parameters,
        )
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        raise DatabaseUnavailable(error) from error
    return connection


def lock_timeout_ms(settings: Settings) -> int:
    """Return how long a statement may wait for a lock, in whole milliseconds."""
    return round(settings.lock_timeout_seconds * 1000)


# A plan that was made while a table was empty reads the whole table, and stays until a vacuum or analyze of the table:
# 107 instead of 75,000 jobs/s on a backlog of 150,000. Planning a claim anew takes half a millisecond.
REPLAN_INTERVAL_S = 1.0


class WorkerConnection:
    """A connection for prepared statements; each is a transaction of its own unless inside `transaction`.

    A pooler may run each transaction in another session. Through a pooler, each transaction therefore sends its
    settings in the same message, and its statements are planned in it. Each method raises DatabaseUnavailable for an
    outage, and psycopg2.Error for a statement that PostgreSQL refuses.
    """

    def __init__(self, settings: Settings, name: str, *, by_index: bool) -> None:
        """Connect. `by_index`: never plan a read of a whole table, for claim and settle. Raises DatabaseUnavailable."""
        self.driver_connection = connect(settings, name)
        self.driver_connection.autocommit = True
        self.pooled = pooled(settings)
        self._cursor = self.driver_connection.cursor()
        session_settings = {
            **(TRANSACTION_SETTINGS if self.pooled else {}),
            **(INDEX_PLAN_SETTINGS if by_index else {}),
            "search_path": search_path(settings),
            "jit": "off",
            "timezone": "'UTC'",
            "lock_timeout": 0,
            "statement_timeout": round(settings.statement_timeout_seconds * 1000),
            # A process that froze inside a transaction for so long has lost its lease anyway.
            "idle_in_transaction_session_timeout": round(settings.lease_seconds * 1000),
        }
        self._session_settings = "".join(
            f"SET {'LOCAL ' if self.pooled else ''}{setting} = {value}; " for setting, value in session_settings.items()
        )
        self._prepared: set[str] = set()
        self._planned_at = time.monotonic()
        if not self.pooled:
            self._execute(self._session_settings)

    @property
    def is_idle(self) -> bool:
        """True outside of a transaction."""
        return self.driver_connection.info.transaction_status == TRANSACTION_STATUS_IDLE

    def run(self, statement: "Statement", arguments: Sequence[object]) -> list[Row]:
        """Run a statement and return its rows."""
        if self.pooled:
            settings = self._session_settings if self.is_idle else ""
            self._execute(settings + statement.inline, statement.named_arguments(arguments))
        else:
            self._execute(self._prepare(statement) + statement.execute, arguments)
        return self._cursor.fetchall()

    def _execute(self, sql: str, arguments: Sequence[object] | Mapping[str, object] | None = None) -> None:
        try:
            self._cursor.execute(sql, arguments)
        except psycopg2.Error as error:
            if is_outage(error, self.driver_connection):
                raise DatabaseUnavailable(error) from error
            raise

    def _prepare(self, statement: "Statement") -> str:
        """Prepare a statement if that has not been done. Return the SQL to send before it in the same message."""
        if statement.name not in self._prepared:
            self._execute(statement.prepare)
            self._prepared.add(statement.name)
        now = time.monotonic()
        if now - self._planned_at <= REPLAN_INTERVAL_S:
            return ""
        self._planned_at = now
        return "DISCARD PLANS; "

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the statements inside as one transaction: all or nothing."""
        self._execute(f"BEGIN; {self._session_settings if self.pooled else ''}")
        try:
            yield
        except BaseException:
            if not self.driver_connection.closed:
                self._execute("ROLLBACK")
            raise
        self._execute("COMMIT")

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        self.driver_connection.close()
