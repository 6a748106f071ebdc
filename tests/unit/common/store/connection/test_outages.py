"""Outages, by the error that a driver reports: the same SQLSTATEs for both drivers, and each driver's own errors."""

from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg2
import psycopg2.errors
import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from common.store.connection import asyncpg_pool, psycopg2_session
from common.store.connection.outages import is_outage_code

OUTAGES = """08000 08003 08006 28P01 3D000 40001 40P01 53100 53200 53300 53400 57014 57P01 57P02 57P03 57P05 58030
25006 25P03 25P04 42P01 55P03"""
REFUSALS = "22003 22021 22P02 22P05 23502 23505 23514 25P02 42601 42703 42501 54000 54001 XX000"
OPEN: Any = SimpleNamespace(closed=0)
LOST: Any = SimpleNamespace(closed=2)


@pytest.mark.parametrize(("sqlstates", "is_outage"), [(OUTAGES, True), (REFUSALS, False)], ids=["outages", "refusals"])
def test_a_sqlstate_means_the_same_to_both_drivers(sqlstates: str, is_outage: bool) -> None:
    for sqlstate in sqlstates.split():
        assert is_outage_code(sqlstate) is is_outage, sqlstate
        of_asyncpg = asyncpg.PostgresError.new({"C": sqlstate, "M": "text", "S": "ERROR"})
        assert asyncpg_pool.is_outage(of_asyncpg) is is_outage, sqlstate
        assert asyncpg_pool.is_outage(wrapped(of_asyncpg)) is is_outage, sqlstate
        of_psycopg2 = psycopg2.Error()
        of_psycopg2.__setstate__({"pgcode": sqlstate})  # type: ignore[no-untyped-call]  # the attribute is read-only
        assert psycopg2_session.is_outage(of_psycopg2, OPEN) is is_outage, sqlstate
        assert psycopg2_session.is_outage(of_psycopg2, LOST), sqlstate


def wrapped(error: BaseException) -> DBAPIError:
    """Return an error of asyncpg as SQLAlchemy raises it."""
    translated = Exception()
    translated.__cause__ = error
    return DBAPIError(None, None, translated)


def test_a_lost_connection_is_an_outage_whatever_class_psycopg2_chooses() -> None:
    for error in (psycopg2.DatabaseError, psycopg2.OperationalError, psycopg2.InterfaceError):
        assert psycopg2_session.is_outage(error("server closed the connection unexpectedly"), OPEN)
    for refusal in (psycopg2.ProgrammingError, psycopg2.DataError, psycopg2.NotSupportedError):
        assert not psycopg2_session.is_outage(refusal("can't adapt type 'object'"), OPEN)


def test_a_lost_connection_is_an_outage_whatever_class_asyncpg_chooses() -> None:
    for error in (
        ConnectionResetError(),
        TimeoutError(),
        PoolTimeout(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("got result for unknown protocol state"),
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        asyncpg.InvalidCachedStatementError("cached statement plan is invalid"),
    ):
        assert asyncpg_pool.is_outage(error), error
        assert asyncpg_pool.is_outage(wrapped(error)), error
    for refusal in (ValueError("no"), asyncpg.DataError("no"), asyncpg.exceptions.ClientConfigurationError("no")):
        assert not asyncpg_pool.is_outage(refusal), refusal
