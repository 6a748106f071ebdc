"""Lost connections, by what the driver reports: each is an outage, and no error of a statement is one."""

from collections.abc import Iterator

import psycopg2
import pytest
from rig.proxy import CRASH_WARNING, Proxy
from rig.settings import settings_from

from common.settings import Settings
from common.store.connection.psycopg2_session import DatabaseUnavailable, WorkerConnection
from common.store.connection.statement import Statement

PID = Statement("pid", "text", "SELECT pg_backend_pid(), length($1)")
END = Statement("end_backend", "int", "SELECT pg_terminate_backend($1, 5000)")
NUMBER = Statement("number", "text", "SELECT $1::int")
NOWHERE, REDIS = "postgresql://postgres@127.0.0.1:1/postgres", "redis://127.0.0.1:1/0"


@pytest.fixture
def connection(settings: Settings) -> Iterator[WorkerConnection]:
    connection = WorkerConnection(settings, "worker", by_index=True)
    yield connection
    connection.close()


@pytest.mark.parametrize("last", [b"", CRASH_WARNING], ids=["silently", "with a warning"])
def test_a_reset_connection_is_an_outage(settings: Settings, last: bytes) -> None:
    """With an unread warning the driver reports a plain DatabaseError, and calls the connection open."""
    with Proxy.before(settings.database_url) as proxy:
        url = proxy.url_of(settings.database_url)
        connection = WorkerConnection(settings_from(url, REDIS), "worker", by_index=True)
        connection.run(PID, ("",))
        proxy.reset(last)
        with pytest.raises(DatabaseUnavailable) as caught:
            connection.run(PID, ("",))
        assert (type(caught.value.__cause__) is psycopg2.DatabaseError) == bool(last)
        assert bool(connection.driver_connection.closed) != bool(last)
        connection.close()


def test_a_connection_that_the_server_has_ended_is_an_outage(connection: WorkerConnection, settings: Settings) -> None:
    """Also inside of a transaction, whose rollback fails too."""
    other = WorkerConnection(settings, "worker", by_index=True)

    def end_in_transaction() -> None:
        with connection.transaction():
            other.run(END, (connection.run(PID, ("",))[0][0],))
            connection.run(PID, ("",))

    with pytest.raises(DatabaseUnavailable):
        end_in_transaction()
    with pytest.raises(DatabaseUnavailable):
        connection.run(PID, ("",))
    other.close()


def test_an_error_of_a_statement_or_its_arguments_is_no_outage(connection: WorkerConnection) -> None:
    for statement, argument in (
        (NUMBER, "one"),
        (NUMBER, object()),
        (Statement("no_column", "text", "SELECT nothing"), ""),
    ):
        with pytest.raises(psycopg2.Error) as caught:
            connection.run(statement, (argument,))
        assert not isinstance(caught.value, DatabaseUnavailable)
    assert connection.run(NUMBER, ("1",)) == [(1,)]


def test_a_server_that_is_not_there_is_an_outage() -> None:
    with pytest.raises(DatabaseUnavailable):
        WorkerConnection(settings_from(NOWHERE, REDIS), "worker", by_index=True)
