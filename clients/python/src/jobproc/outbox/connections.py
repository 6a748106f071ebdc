"""The connections of an application: by its type each one tells how it takes an INSERT. No driver is imported."""

from collections.abc import Mapping
from typing import Any

from jobproc.errors import SubmissionError

#: By package and class: the form of the parameters.
SYNC = {
    ("sqlalchemy", "Session"): "sqlalchemy",
    ("sqlalchemy", "scoped_session"): "sqlalchemy",
    ("sqlalchemy", "Connection"): "sqlalchemy",
    ("psycopg", "Connection"): "%s",
    ("psycopg2", "connection"): "%s",
    ("pymysql", "Connection"): "%s",
    ("MySQLdb", "Connection"): "%s",
    ("django", "BaseDatabaseWrapper"): "%s",
    ("django", "ConnectionProxy"): "%s",
    ("sqlite3", "Connection"): "?",
}
ASYNC = {
    ("sqlalchemy", "AsyncSession"): "sqlalchemy",
    ("sqlalchemy", "async_scoped_session"): "sqlalchemy",
    ("sqlalchemy", "AsyncConnection"): "sqlalchemy",
    ("psycopg", "AsyncConnection"): "%s",
    ("asyncpg", "Connection"): "$",
    ("asyncpg", "PoolConnectionProxy"): "$",
}


def execute(connection: Any, table: str, values: Mapping[str, object]) -> None:
    """Insert a row with the open transaction of a connection. Raises SubmissionError for another type of object."""
    form = _form(connection, SYNC)
    if form is None:
        hint = "submit_async takes it" if _form(connection, ASYNC) else _known(SYNC)
        raise SubmissionError(f"submit cannot write with {_described(connection)}: {hint}")
    sql, arguments = statement(form, table, values)
    if form == "sqlalchemy":
        connection.execute(_text(sql), arguments)
        return
    cursor = connection.cursor()
    try:
        cursor.execute(sql, arguments)
    finally:
        cursor.close()


async def execute_async(connection: Any, table: str, values: Mapping[str, object]) -> None:
    """Insert a row as `execute` does, by an asynchronous connection."""
    form = _form(connection, ASYNC)
    if form is None:
        hint = "submit takes it" if _form(connection, SYNC) else _known(ASYNC)
        raise SubmissionError(f"submit_async cannot write with {_described(connection)}: {hint}")
    sql, arguments = statement(form, table, values)
    if form == "sqlalchemy":
        await connection.execute(_text(sql), arguments)
    elif form == "$":
        await connection.execute(sql, *arguments)
    else:
        await connection.execute(sql, arguments)


def statement(form: str, table: str, values: Mapping[str, object]) -> tuple[str, Any]:
    """Return an INSERT and its arguments in the form of a driver."""
    if form == "sqlalchemy":
        places = [f":{name}" for name in values]
    elif form == "$":
        places = [f"${number}" for number in range(1, len(values) + 1)]
    else:
        places = [form] * len(values)
    arguments = dict(values) if form == "sqlalchemy" else list(values.values())
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(places)})", arguments


def _form(connection: object, kinds: Mapping[tuple[str, str], str]) -> str | None:
    """Return the form of a connection, by its type or one that this is derived from."""
    for kind in type(connection).__mro__:
        if form := kinds.get((kind.__module__.partition(".")[0], kind.__name__)):
            return form
    return None


def _described(connection: object) -> str:
    return f"a {type(connection).__module__}.{type(connection).__qualname__}"


def _known(kinds: Mapping[tuple[str, str], str]) -> str:
    return "it takes " + ", ".join(sorted(f"{package}'s {name}" for package, name in kinds))


def _text(sql: str) -> Any:
    from sqlalchemy import text

    return text(sql)
