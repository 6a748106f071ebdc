"""Connections of workers, controllers and migrations: psycopg2 behind a SQLAlchemy engine."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg2
import psycopg2.errors
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as PgConnection  # noqa: N812 - a class with a small name
from sqlalchemy import Connection, Engine, create_engine, event, text

from common.settings import Pooler, Settings

Row = tuple[Any, ...]

#: The database is away or refuses service: to be tried again on a new connection.
AWAY = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.IdleInTransactionSessionTimeout)


def array(values: Iterable[object]) -> str:
    """Return an array as PostgreSQL reads it, of values that need no quotes: numbers, ids, times."""
    return "{" + ",".join(map(str, values)) + "}"


def pooled(settings: Settings) -> bool:
    """Return whether each transaction may be in another session, that of a pooler."""
    return settings.database_pooler is Pooler.TRANSACTION


def application_name(settings: Settings, name: str) -> str:
    """Return the name of a connection. One for all through a pooler: it would set another one with each connection that it lends."""
    return "jobproc" if pooled(settings) else f"jobproc-{name}"


def connect(settings: Settings, name: str) -> PgConnection:
    """Return a connection, in UTC with bounded waits unless through a pooler. `name` shows in pg_stat_activity. Raises what is in AWAY."""
    options = f"-c lock_timeout={_lock_ms(settings)} -c timezone=UTC"
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


def sync_engine(settings: Settings, name: str) -> Engine:
    """Return an engine for schema, partitions and catalogue, in UTC with bounded waits; connects when first used."""
    engine = create_engine("postgresql+psycopg2://", creator=partial(connect, settings, name), pool_size=1, max_overflow=2, pool_pre_ping=True)
    if pooled(settings):
        event.listen(engine, "begin", partial(_limit, f"SET LOCAL lock_timeout = {_lock_ms(settings)}; SET LOCAL timezone = 'UTC'"))
    return engine


def _lock_ms(settings: Settings) -> int:
    return round(settings.lock_timeout_seconds * 1000)


def _limit(limits: str, connection: Connection) -> None:
    connection.exec_driver_sql(limits)


def alone(connection: Connection, work: str) -> None:
    """Wait until no other transaction does this work; until the commit, so it holds through a pooler in transaction mode too."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext(:work))"), {"work": f"jobproc.{work}"})


# Plans must not depend on statistics: an empty or freshly loaded `live` would flip a claim to a bitmap scan and a sort of
# everything (12,800 instead of 31,000 jobs/s). `enable_sort` stays on: without it settle's ORDER BY walks a whole index.
_BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "plan_cache_mode": "force_generic_plan"}


# A plan that was made while a table was empty walks all of it, and is kept until somebody vacuums or analyzes the table: 107
# instead of 75,000 jobs/s on a backlog of 150,000. Planning a claim anew takes half a millisecond.
PLANNED_ANEW_S = 1.0


class Hot:
    """A connection for hot statements; each is a transaction of its own unless inside `transaction`.

    Statements are prepared once. A pooler gives each transaction another session: then each one brings its settings along, in the
    same message, and is planned in it.
    """

    def __init__(self, settings: Settings, name: str, *, by_index: bool) -> None:
        """Connect. `by_index`: never a plan that reads a whole table, for claim and settle. Raises what is in AWAY."""
        self.connection = connect(settings, name)
        self.connection.autocommit = True
        self.pooled = pooled(settings)
        self._cursor = self.connection.cursor()
        wanted = {
            **(_BY_INDEX if by_index else {}),
            "jit": "off",
            "timezone": "'UTC'",
            "lock_timeout": 0,
            "statement_timeout": round(settings.statement_timeout_seconds * 1000),
            "idle_in_transaction_session_timeout": round(settings.lease_seconds * 1000),  # who froze in one has lost its lease with it
        }
        self._setup = "".join(f"SET {'LOCAL ' if self.pooled else ''}{setting} = {value}; " for setting, value in wanted.items())
        self._prepared: set[str] = set()
        self._planned = time.monotonic()
        if not self.pooled:
            self._cursor.execute(self._setup)

    def run(self, statement: "Statement", arguments: Sequence[object]) -> list[Row]:
        """Run a statement and return its rows."""
        if self.pooled:
            first = self._setup if self.connection.info.transaction_status == TRANSACTION_STATUS_IDLE else ""
            self._cursor.execute(first + statement.inline, statement.named(arguments))
        else:
            self._cursor.execute(self._first(statement) + statement.execute, arguments)
        return self._cursor.fetchall()

    def _first(self, statement: "Statement") -> str:
        if statement.name not in self._prepared:
            self._cursor.execute(statement.prepare)
            self._prepared.add(statement.name)
        now = time.monotonic()
        if now - self._planned <= PLANNED_ANEW_S:
            return ""
        self._planned = now
        return "DISCARD PLANS; "  # in the same message: no further round trip

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make the statements inside one transaction: all or nothing."""
        self._cursor.execute(f"BEGIN; {self._setup if self.pooled else ''}")
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
        split = types.split(",")
        escaped = sql.replace("%", "%%")
        self.prepare = f"PREPARE {name} ({types}) AS {escaped}"
        self.execute = f"EXECUTE {name} ({', '.join(['%s'] * len(split))})"
        self.inline = re.sub(r"\$(\d+)", lambda found: f"CAST(%({found[1]})s AS {split[int(found[1]) - 1].strip()})", escaped)

    def named(self, arguments: Sequence[object]) -> dict[str, object]:
        """Return arguments as `inline` names them: by their number."""
        return {str(number): argument for number, argument in enumerate(arguments, 1)}
