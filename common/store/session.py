"""Connections of workers, controllers and migrations: psycopg2 behind a SQLAlchemy engine."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name
from sqlalchemy import Connection, Engine, create_engine, text

from common.settings import Settings

Row = tuple[Any, ...]

#: The database is away or refuses service: to be tried again on a new connection.
AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.IdleInTransactionSessionTimeout)


def connect(settings: Settings, name: str) -> PgConnection:
    """Return a connection in UTC with bounded waits. `name` shows in pg_stat_activity. Raises what is in AWAY."""
    return psycopg2.connect(
        settings.database_url,
        application_name=f"jobproc-{name}",
        connect_timeout=max(2, round(settings.database_timeout_seconds)),
        keepalives_idle=30,
        keepalives_interval=5,
        keepalives_count=3,
        options=f"-c lock_timeout={round(settings.lock_timeout_seconds * 1000)} -c timezone=UTC",
    )


def sync_engine(settings: Settings, name: str) -> Engine:
    """Return an engine for schema, partitions and catalogue; connects when first used."""
    return create_engine("postgresql+psycopg2://", creator=partial(connect, settings, name), pool_size=1, max_overflow=2, pool_pre_ping=True)


def alone(connection: Connection, work: str) -> None:
    """Wait until no other transaction does this work; until the commit, so it holds through a pooler in transaction mode too."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:work))"), {"work": f"jobproc.{work}"})


# Plans must not depend on statistics: an empty or freshly loaded `live` would flip a claim to a bitmap scan and a sort of
# everything (12,800 instead of 31,000 jobs/s). `enable_sort` stays on: without it settle's ORDER BY walks a whole index.
_BY_INDEX = (
    "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET plan_cache_mode = force_generic_plan;"
)


# A plan that was made while a table was empty walks all of it, and is kept until somebody vacuums or analyzes the table: 107
# instead of 75,000 jobs/s on a backlog of 150,000. Planning a claim anew takes half a millisecond.
PLANNED_ANEW_S = 1.0


class Hot:
    """A connection that prepares each statement once; a statement is a transaction of its own unless inside `transaction`."""

    def __init__(self, settings: Settings, name: str, *, by_index: bool) -> None:
        """Connect. `by_index`: never a plan that reads a whole table, for claim and settle. Raises what is in AWAY."""
        self.connection = connect(settings, name)
        self.connection.autocommit = True
        self._cursor = self.connection.cursor()
        limit_ms = round(settings.statement_timeout_seconds * 1000)
        lease_ms = round(settings.lease_seconds * 1000)  # who froze in a transaction has lost its lease with it
        waits = f"SET lock_timeout = 0; SET statement_timeout = {limit_ms}; SET idle_in_transaction_session_timeout = {lease_ms}"
        self._cursor.execute(f"{_BY_INDEX if by_index else ''} SET jit = off; {waits}")
        self._prepared: set[str] = set()
        self._planned = time.monotonic()

    def run(self, statement: "Statement", arguments: Sequence[object]) -> list[Row]:
        """Run a statement and return its rows."""
        if statement.name not in self._prepared:
            self._cursor.execute(statement.prepare)
            self._prepared.add(statement.name)
        now, first = time.monotonic(), ""
        if now - self._planned > PLANNED_ANEW_S:
            self._planned, first = now, "DISCARD PLANS; "  # in the same message: no further round trip
        self._cursor.execute(first + statement.execute, arguments)
        return self._cursor.fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one transaction: all or nothing."""
        self._cursor.execute("BEGIN")
        try:
            yield
        except BaseException:
            if not self.connection.closed:
                self._cursor.execute("ROLLBACK")
            raise
        self._cursor.execute("COMMIT")

    def close(self) -> None:
        """Close the connection; whatever was under way is rolled back."""
        self.connection.close()


class Statement:
    """A named hot statement with $1-style arguments of declared types."""

    def __init__(self, name: str, types: str, sql: str) -> None:
        self.name = name
        self.sql = sql
        self.types = types
        self.prepare = f"PREPARE {name} ({types}) AS {sql}".replace("%", "%%")
        self.execute = f"EXECUTE {name} ({', '.join(['%s'] * len(types.split(',')))})"
