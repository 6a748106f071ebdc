"""Every kind of connection that an application may have: the row is in its transaction, and nowhere else."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import psycopg2
import pytest
import sqlalchemy
from integration.outbox.conftest import TABLE
from rig.system import Database
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from jobproc.errors import SubmissionError
from jobproc.outbox import Outbox, ddl, sqlalchemy_table

OUTBOX = Outbox(TABLE)


class Undone(Exception):
    """Ends a transaction."""


@contextlib.contextmanager
def of_sqlalchemy(url: str, *, session: bool) -> Iterator[Any]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    try:
        with Session(engine) if session else engine.connect() as connection, connection.begin():
            yield connection
    finally:
        engine.dispose()


@contextlib.contextmanager
def of_driver(connection: Any) -> Iterator[Any]:
    try:
        with connection:
            yield connection
    finally:
        connection.close()


SYNC = {
    "SQLAlchemy's Session": lambda url: of_sqlalchemy(url, session=True),
    "SQLAlchemy's Connection": lambda url: of_sqlalchemy(url, session=False),
    "psycopg": lambda url: of_driver(psycopg.connect(url)),
    "psycopg2": lambda url: of_driver(psycopg2.connect(url)),
}


@contextlib.asynccontextmanager
async def of_async_sqlalchemy(url: str, *, session: bool) -> AsyncIterator[Any]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    try:
        async with AsyncSession(engine) if session else engine.connect() as connection, connection.begin():
            yield connection
    finally:
        await engine.dispose()


@contextlib.asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Any]:
    async with (
        asyncpg.create_pool(url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
        connection.transaction(),
    ):
        yield connection


@contextlib.asynccontextmanager
async def of_async_psycopg(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield connection


ASYNC = {
    "SQLAlchemy's AsyncSession": lambda url: of_async_sqlalchemy(url, session=True),
    "SQLAlchemy's AsyncConnection": lambda url: of_async_sqlalchemy(url, session=False),
    "asyncpg": of_asyncpg,
    "psycopg": of_async_psycopg,
}


def rows(shop: Database) -> list[str]:
    return [id_ for (id_,) in shop.rows("SELECT id FROM jobproc_outbox ORDER BY 1")]


@pytest.mark.parametrize("kind", SYNC)
def test_a_row_is_written_in_the_transaction(shop: Database, kind: str) -> None:
    with contextlib.suppress(Undone), SYNC[kind](shop.url) as connection:
        OUTBOX.submit(connection, "square_sum", {"data": [1]})
        raise Undone
    assert rows(shop) == []
    with SYNC[kind](shop.url) as connection:
        row = OUTBOX.submit(connection, "square_sum", {"data": [1]}, tags=["100% :safe ?"])
        assert rows(shop) == []
    assert rows(shop) == [row]
    assert shop.value("SELECT body::json->'tags'->>0 FROM jobproc_outbox") == "100% :safe ?"


@pytest.mark.parametrize("kind", ASYNC)
def test_a_row_is_written_in_the_asynchronous_transaction(shop: Database, kind: str) -> None:
    async def submit(*, undone: bool) -> str:
        async with ASYNC[kind](shop.url) as connection:
            row = await OUTBOX.submit_async(connection, "square_sum", {"data": [1]})
            assert rows(shop) == []
            if undone:
                raise Undone
        return row

    with contextlib.suppress(Undone):
        asyncio.run(submit(undone=True))
    assert rows(shop) == []
    row = asyncio.run(submit(undone=False))
    assert rows(shop) == [row]


def test_the_table_of_sqlalchemy_is_that_of_the_statements(shop: Database) -> None:
    """Columns, their order and their types, keys and indexes."""
    shop.rows("CREATE SCHEMA other")
    engine = sqlalchemy.create_engine(shop.url.replace("postgresql://", "postgresql+psycopg2://"))
    metadata = sqlalchemy.MetaData()
    sqlalchemy_table(metadata, "other.jobproc_outbox")
    metadata.create_all(engine)
    engine.dispose()
    columns = """SELECT attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid)
                 FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                 WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum"""
    indexes = "SELECT replace(indexdef, %s, '') FROM pg_indexes WHERE schemaname = %s ORDER BY 1"
    assert shop.rows(columns, (TABLE,)) == [
        (name, type_, required, default and default.strip("'").partition("'")[0])
        for name, type_, required, default in shop.rows(columns, ("other.jobproc_outbox",))
    ]
    ours = [row for row in shop.rows(indexes, ("shop.", "shop")) if "orders" not in row[0]]
    assert ours == shop.rows(indexes, ("other.", "other"))


def test_a_connection_of_another_type_is_refused_with_those_that_are_known(shop: Database, tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"submit cannot write with a builtins.str: it takes .*psycopg's"):
        OUTBOX.submit("url", "square_sum")
    with contextlib.closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        with pytest.raises(SubmissionError, match="submit takes it"):
            asyncio.run(OUTBOX.submit_async(connection, "square_sum"))
        for statement in ddl("sqlite", "jobproc_outbox"):
            connection.execute(statement)
        with connection:
            row = Outbox().submit(connection, "square_sum", {"data": [1]})
        assert connection.execute("SELECT id FROM jobproc_outbox").fetchall() == [(row,)]
