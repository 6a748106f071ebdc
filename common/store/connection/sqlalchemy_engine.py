"""A SQLAlchemy engine over psycopg2 connections, for migrations, partitions and infrequent controller tasks."""

from functools import partial

from sqlalchemy import Connection, Engine, create_engine, event

from common.settings import Settings
from common.store.connection.pooler import pooled
from common.store.connection.psycopg2_session import connect, lock_timeout_ms


def sync_engine(settings: Settings, name: str) -> Engine:
    """Return an engine whose sessions are in UTC and have a lock timeout. It connects when first used."""
    engine = create_engine(
        "postgresql+psycopg2://",
        creator=partial(connect, settings, name),
        pool_size=1,
        max_overflow=2,
        pool_pre_ping=True,
        hide_parameters=True,  # of statements, in the texts of errors: they reach the log
    )
    if pooled(settings):
        event.listen(
            engine,
            "begin",
            partial(_set_limits, f"SET LOCAL lock_timeout = {lock_timeout_ms(settings)}; SET LOCAL timezone = 'UTC'"),
        )
    return engine


def _set_limits(limits: str, connection: Connection) -> None:
    connection.exec_driver_sql(limits)
