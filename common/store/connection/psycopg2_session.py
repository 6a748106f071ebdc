"""Connections of workers and controllers to PostgreSQL, by psycopg2."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg2
import psycopg2.errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name

from common.settings import Settings
from common.store.connection.pooler import application_name, pooled
from common.store.connection.statement import INDEX_PLAN_SETTINGS, Row, Statement

#: The database is away or refuses service: to be tried again on a new connection.
CONNECTION_ERRORS = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.IdleInTransactionSessionTimeout)


def connect(settings: Settings, name: str) -> PgConnection:
    """Return a connection, in UTC with bounded waits unless through a pooler. `name` shows in pg_stat_activity. Raises what is in AWAY."""
    options = f"-c lock_timeout={lock_timeout_ms(settings)} -c timezone=UTC"
    return psycopg2.connect(
        settings.database_url,
        application_name=application_name(settings, name),
        connect_timeout=max(2, round(settings.database_timeout_seconds)),
        keepalives_idle=30,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=round(settings.statement_timeout_seconds * 1000),  # what was sent and nobody takes; keepalives do not look at that
        options=None if pooled(settings) else options,  # a pooler refuses them, also where the setting was forgotten
    )


def lock_timeout_ms(settings: Settings) -> int:
    """Return for how long a statement may wait for a lock, in whole milliseconds."""
    return round(settings.lock_timeout_seconds * 1000)


# A plan that was made while a table was empty walks all of it, and is kept until somebody vacuums or analyzes the table: 107
# instead of 75,000 jobs/s on a backlog of 150,000. Planning a claim anew takes half a millisecond.
REPLAN_INTERVAL_S = 1.0


class WorkerConnection:
    """A connection for hot statements; each is a transaction of its own unless inside `transaction`.

    Statements are prepared once. A pooler gives each transaction another session: then each one brings its settings along, in the
    same message, and is planned in it.
    """

    def __init__(self, settings: Settings, name: str, *, by_index: bool) -> None:
        """Connect. `by_index`: never a plan that reads a whole table, for claim and settle. Raises what is in AWAY."""
        self.driver_connection = connect(settings, name)
        self.driver_connection.autocommit = True
        self.pooled = pooled(settings)
        self._cursor = self.driver_connection.cursor()
        wanted = {
            **(INDEX_PLAN_SETTINGS if by_index else {}),
            "jit": "off",
            "timezone": "'UTC'",
            "lock_timeout": 0,
            "statement_timeout": round(settings.statement_timeout_seconds * 1000),
            "idle_in_transaction_session_timeout": round(settings.lease_seconds * 1000),  # who froze in one has lost its lease with it
        }
        self._session_settings = "".join(f"SET {'LOCAL ' if self.pooled else ''}{setting} = {value}; " for setting, value in wanted.items())
        self._prepared: set[str] = set()
        self._planned_at = time.monotonic()
        if not self.pooled:
            self._cursor.execute(self._session_settings)

    def run(self, statement: "Statement", arguments: Sequence[object]) -> list[Row]:
        """Run a statement and return its rows."""
        if self.pooled:
            first = self._session_settings if self.driver_connection.info.transaction_status == TRANSACTION_STATUS_IDLE else ""
            self._cursor.execute(first + statement.inline, statement.named_arguments(arguments))
        else:
            self._cursor.execute(self._preparation(statement) + statement.execute, arguments)
        return self._cursor.fetchall()

    def _preparation(self, statement: "Statement") -> str:
        if statement.name not in self._prepared:
            self._cursor.execute(statement.prepare)
            self._prepared.add(statement.name)
        now = time.monotonic()
        if now - self._planned_at <= REPLAN_INTERVAL_S:
            return ""
        self._planned_at = now
        return "DISCARD PLANS; "  # in the same message: no further round trip

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one transaction: all or nothing."""
        self._cursor.execute(f"BEGIN; {self._session_settings if self.pooled else ''}")
        try:
            yield
        except BaseException:
            if not self.driver_connection.closed:
                self._cursor.execute("ROLLBACK")
            raise
        self._cursor.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; whatever was under way is rolled back."""
        self.driver_connection.close()
