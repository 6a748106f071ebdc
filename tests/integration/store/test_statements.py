"""Each statement of the store as a pooler gets it: with its arguments in its text."""

import importlib
import pkgutil

import psycopg2
from integration.store.support.storage import Storage

import common.store
import worker
from common.store.connection.statement import Statement


def statements() -> dict[str, Statement]:
    """Return every statement of workers and controllers by its name."""
    return {
        value.name: value
        for package in (common.store, worker)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not module.name.endswith("__main__")
        for value in vars(importlib.import_module(module.name)).values()
        if isinstance(value, Statement)
    }


def test_postgresql_takes_each_statement_with_its_arguments_in_its_text(storage: Storage) -> None:
    """Without a pooler it is prepared, and the other tests see that."""
    connection = storage.connection()
    refused = {}
    with connection.transaction(), connection.driver_connection.cursor() as cursor:
        for name, statement in statements().items():
            cursor.execute("SAVEPOINT before")
            try:
                arguments = statement.named_arguments([None] * len(statement.types.split(",")))
                cursor.execute(f"EXPLAIN {statement.inline}", arguments)
            except psycopg2.Error as error:
                refused[name] = str(error)
            cursor.execute("ROLLBACK TO SAVEPOINT before")
    assert len(statements()) > 100
    assert refused == {}
