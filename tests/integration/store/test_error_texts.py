"""Texts of database errors, which reach the log: they name the statement and never its parameters."""

import pytest
from integration.store.support.storage import Storage
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from common.store.connection.lanes import Lane

SECRET = "s3cret-of-a-client"  # noqa: S105 - of this test


def fail(connection: Connection) -> None:
    """Run a statement that fails, with a parameter."""
    connection.execute(text("SELECT CAST(:value AS text), 1 / 0"), {"value": SECRET})


def test_an_error_of_the_api_has_no_parameters(storage: Storage) -> None:
    with pytest.raises(DBAPIError, match="division by zero") as failed:
        storage.with_pool(lambda pool: pool.run_sync(fail, Lane.BY_ID))
    assert SECRET not in str(failed.value)


def test_an_error_of_the_controller_has_no_parameters(storage: Storage) -> None:
    with storage.engine.connect() as connection, pytest.raises(DBAPIError, match="1 / 0") as failed:
        fail(connection)
    assert SECRET not in str(failed.value)
