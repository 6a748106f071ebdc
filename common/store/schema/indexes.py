"""Indexes of partitions that came before the index of their table: made one at a time, while writers go on.

PostgreSQL's own way would keep them out of all partitions until the last one is read. An index that was made for the table alone
counts as invalid until each partition has its own; then, and with every new partition, PostgreSQL keeps it.
"""

import time
from dataclasses import dataclass

import psycopg2.errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store.connection.pooler import pooled
from common.telemetry import logs

log = logs.get("migrate")
RETRY_INTERVAL_S = 0.2
# For transactions that were open before an index was begun. Nobody waits behind it meanwhile.
_LONG_LOCK_TIMEOUT = text("SELECT set_config('lock_timeout', '5min', false), set_config('statement_timeout', '0', false)")
# Attaching waits for who uses the index, and others behind it: so it gives up soon, and tries again.
_SHORT_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '100ms'")
_MISSING = text("""
    SELECT i.relname, t.relname, c.relname, pg_get_indexdef(x.indexrelid)
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid AND i.relkind = 'I'
    JOIN pg_class t ON t.oid = x.indrelid AND pg_table_is_visible(t.oid)
    JOIN pg_inherits h ON h.inhparent = t.oid
    JOIN pg_class c ON c.oid = h.inhrelid
    WHERE NOT EXISTS (SELECT FROM pg_inherits a JOIN pg_index b ON b.indexrelid = a.inhrelid WHERE a.inhparent = i.oid AND b.indrelid = c.oid)
    ORDER BY c.relname, i.relname
""")
# Asked for, not waited for: who waits in a statement has a snapshot, which the making of an index waits for.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('jobproc.indexes'))")
_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """An index that a partition has to get."""

    parent_index: str  #: the index of its table
    table: str
    partition: str
    definition: str  #: of the table's

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.partition}_{self.parent_index.removeprefix(f'{self.table}_')}"

    @property
    def create_statement(self) -> str:
        """The statement that makes it."""
        return f"CREATE INDEX CONCURRENTLY {self.name} ON {self.partition} USING {self.definition.partition(' USING ')[2]}"


def create_missing(engine: Engine, settings: Settings) -> int:
    """Make and attach what is missing; returns how many. One process works, others wait until there is nothing left to do.

    Not in one transaction, so it goes on where it was broken off. Raises OperationalError when a lock was not to be had.
    """
    made = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as work:
        if not pooled(settings):
            work.execute(_LONG_LOCK_TIMEOUT)
        while _missing(work):
            with engine.begin() as turn:
                if turn.execute(_TRY_LOCK).scalar_one():
                    made += sum(_create(engine, work, one) for one in _missing(work))
                    continue
            time.sleep(RETRY_INTERVAL_S)
    return made


def _missing(connection: Connection) -> list[MissingIndex]:
    return [MissingIndex(*row) for row in connection.execute(_MISSING)]


def _create(engine: Engine, connection: Connection, index: MissingIndex) -> bool:
    """Return False where retention took the partition meanwhile."""
    try:
        valid = connection.execute(_VALID, {"name": index.name}).scalar_one_or_none()
        if valid is False:  # a run was broken off
            connection.execute(text(f"DROP INDEX CONCURRENTLY {index.name}"))
        if not valid:
            connection.execute(text(index.create_statement))
        while not _attach(engine, index):
            time.sleep(RETRY_INTERVAL_S)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedObject):
            return False
        raise
    log.info("index_made", index=index.name)
    return True


def _attach(engine: Engine, index: MissingIndex) -> bool:
    try:
        with engine.begin() as connection:
            connection.execute(_SHORT_LOCK_TIMEOUT)
            connection.execute(text(f"ALTER INDEX {index.parent_index} ATTACH PARTITION {index.name}"))
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            return False
        raise
    return True
