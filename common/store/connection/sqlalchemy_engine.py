"""A SQLAlchemy engine over psycopg2 connections, for migrations, partitions and infrequent controller tasks."""

from functools import partial

from sqlalchemy import Connection, Engine, create_engine, event

from common.settings import Settings
from common.store.connection.pooler import TRANSACTION_SETTINGS, pooled
from common.store.connection.psycopg2_session import connect, lock_timeout_ms
from common.store.connection.search_path import search_path


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
        of_session = (
            "".join(f"SET LOCAL {name} = {value}; " for name, value in TRANSACTION_SETTINGS.items())
            + f"SET LOCAL search_path = {search_path(settings)}; "
            f"SET LOCAL lock_timeout = {lock_timeout_ms(settings)}; SET LOCAL timezone = 'UTC'"
        )
        event.listen(engine, "begin", partial(_set, of_session))
    return engine


def _set(of_session: str, connection: Connection) -> None:
    connection.exec_driver_sql(of_session)
