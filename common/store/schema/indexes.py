"""New indexes for existing partitions, created one at a time with CREATE INDEX CONCURRENTLY, so that writers continue.

CREATE INDEX on the partitioned table would block writers of all partitions until the last one is read. Instead a
migration creates the index ON ONLY the table, where it is invalid until each partition has an index attached to it. New
partitions then get theirs from PostgreSQL.
"""

import time
from dataclasses import dataclass

import psycopg2.errors
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from common.settings import Settings
from common.store.connection.pooler import pooled
from common.store.connection.search_path import search_path
from common.telemetry import logs

log = logs.get("migrate")
RETRY_INTERVAL_S = 0.2
# CREATE INDEX CONCURRENTLY waits for transactions that began before it; nothing queues behind it meanwhile.
_LONG_LOCK_TIMEOUT = text(
    "SELECT set_config('lock_timeout', '5min', false), set_config('statement_timeout', '0', false)"
)
# ATTACH waits for transactions that use the index, and others queue behind it: it gives up soon and tries again.
_SHORT_LOCK_TIMEOUT = text("SET LOCAL lock_timeout = '100ms'")
_MISSING = text("""
    SELECT i.relname, t.relname, c.relname, pg_get_indexdef(x.indexrelid)
    FROM pg_index x
    JOIN pg_class i ON i.oid = x.indexrelid AND i.relkind = 'I'
    JOIN pg_class t ON t.oid = x.indrelid AND t.relnamespace = to_regnamespace(:schema)
    JOIN pg_inherits h ON h.inhparent = t.oid
    JOIN pg_class c ON c.oid = h.inhrelid
    WHERE NOT EXISTS (
        SELECT FROM pg_inherits a JOIN pg_index b ON b.indexrelid = a.inhrelid
        WHERE a.inhparent = i.oid AND b.indrelid = c.oid)
    ORDER BY c.relname, i.relname
""")
# Tried, not waited for: a waiting statement has a snapshot, and CREATE INDEX CONCURRENTLY would wait for that snapshot.
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('jobproc.' || current_schema() || '.indexes'))")
_VALID = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


@dataclass(frozen=True, slots=True)
class MissingIndex:
    """An index that a partition lacks."""

    schema: str  #: quoted. Statements that are no transaction have no search path through a pooler
    parent_index: str  #: the table's index that it will be attached to
    table: str
    partition: str
    definition: str  #: CREATE INDEX statement of the table's index

    @property
    def name(self) -> str:
        """The name of the new index."""
        return f"{self.partition}_{self.parent_index.removeprefix(f'{self.table}_')}"

    @property
    def create_statement(self) -> str:
        """The statement that creates it, to be run outside of a transaction."""
        key = self.definition.partition(" USING ")[2]
        return f"CREATE INDEX CONCURRENTLY {self.name} ON {self.schema}.{self.partition} USING {key}"


def create_missing(engine: Engine, settings: Settings) -> int:
    """Create and attach the missing indexes, and return how many. Other processes wait until none is missing.

    Each index is committed alone, so a run continues where an interrupted one ended. Raises OperationalError on a lock
    timeout.
    """
    created = 0
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as work:
        if not pooled(settings):
            work.execute(_LONG_LOCK_TIMEOUT)
        schema = search_path(settings)
        while _missing(work, schema):
            with engine.begin() as lock:
                if lock.execute(_TRY_LOCK).scalar_one():
                    created += sum(_create(engine, work, index) for index in _missing(work, schema))
                    continue
            time.sleep(RETRY_INTERVAL_S)
    return created


def _missing(connection: Connection, schema: str) -> list[MissingIndex]:
    return [MissingIndex(schema, *row) for row in connection.execute(_MISSING, {"schema": schema})]


def _create(engine: Engine, connection: Connection, index: MissingIndex) -> bool:
    """Create and attach one index. Return False if retention has dropped the partition meanwhile."""
    try:
        valid = connection.execute(_VALID, {"name": f"{index.schema}.{index.name}"}).scalar_one_or_none()
        if valid is False:  # an interrupted run left it
            connection.execute(text(f"DROP INDEX CONCURRENTLY {index.schema}.{index.name}"))
        if not valid:
            connection.execute(text(index.create_statement))
        while not _attach(engine, index):
            time.sleep(RETRY_INTERVAL_S)
    except DBAPIError as error:
        if isinstance(error.orig, psycopg2.errors.UndefinedTable | psycopg2.errors.UndefinedObject):
            return False
        raise
    log.info("index_created", index=index.name)
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
