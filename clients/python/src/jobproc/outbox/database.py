"""The relay's side of the table: takes rows that are due, and writes what became of them.

Works with any driver that has the interface of PEP 249 and parameters `%s` or `?`. Each method is one transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from jobproc.outbox.sending import Accepted, Later, Refused, Result
from jobproc.outbox.table import checked_name

CONNECT_S = 10
_BUSY_S = 10.0  # SQLite: for the transaction of another process
_COLUMNS = "id, body, attempts, unsure_since"
_OPEN = "sent_at IS NULL AND refused_at IS NULL"


@dataclass(frozen=True, slots=True)
class Row:
    """A row that a relay has taken."""

    id: str
    body: str
    attempts: int  #: with this one; the mark by which a relay that was frozen finds that another one has taken the row
    unsure_since: float | None  #: the time of the first submission of unknown outcome before this one


class OutboxDatabase:
    """A connection to the database of the application. Opens another one after an error."""

    def __init__(self, connect: Callable[[], Any], table: str) -> None:
        """`connect`: opens a connection of psycopg, psycopg2, PyMySQL, mysqlclient or sqlite3."""
        self._connect = connect
        self._table = checked_name(table)
        self._connection: Any = None
        self._dialect = ""

    def take(self, now: float, limit: int, lease_s: float) -> list[Row]:
        """Take rows that are due, those that have waited longest first, until the end of a lease.

        Rows that another relay is taking at this moment are left out.
        """
        cursor = self._begin()
        locked = "" if self._dialect == "sqlite" else " FOR UPDATE SKIP LOCKED"
        self._execute(
            cursor,
            f"SELECT {_COLUMNS} FROM {self._table} WHERE due_at <= %s ORDER BY due_at, id LIMIT {limit:d}{locked}",
            [now],
        )
        rows = [Row(id_, body, attempts + 1, unsure) for id_, body, attempts, unsure in cursor.fetchall()]
        if rows:
            places = ", ".join(["%s"] * len(rows))
            self._execute(
                cursor,
                f"UPDATE {self._table} SET due_at = %s, attempts = attempts + 1, "
                f"unsure_since = coalesce(unsure_since, %s) WHERE id IN ({places})",
                [now + lease_s, now, *(row.id for row in rows)],
            )
        self._end(cursor)
        return rows

    def settle(self, results: Sequence[tuple[Row, Result, float]], now: float) -> None:
        """Write what became of rows; the number of each is the time from which it is due again."""
        cursor = self._begin()
        for row, result, due_at in results:
            mine = f"WHERE id = %s AND attempts = %s AND {_OPEN}"
            match result:
                case Accepted():  # another relay may have taken the row since: it gets the same job
                    change = f"sent_at = %s, job_id = %s, due_at = NULL, unsure_since = NULL WHERE id = %s AND {_OPEN}"
                    arguments: list[object] = [now, result.job_id, row.id]
                case Refused():
                    change = f"refused_at = %s, problem = %s, due_at = NULL {mine}"
                    arguments = [now, result.problem, row.id, row.attempts]
                case Later(is_certain=True):
                    change = f"due_at = %s, problem = %s, unsure_since = %s {mine}"
                    arguments = [due_at, result.reason, row.unsure_since, row.id, row.attempts]
                case Later():
                    change = f"due_at = %s, problem = %s {mine}"
                    arguments = [due_at, result.reason, row.id, row.attempts]
            self._execute(cursor, f"UPDATE {self._table} SET {change}", arguments)
        self._end(cursor)

    def delete_sent(self, before: float, limit: int) -> int:
        """Delete rows that were accepted before a time. Return how many."""
        cursor = self._begin()
        # MySQL takes a limit of a subquery only if that is a table of its own.
        old = f"SELECT id FROM (SELECT id FROM {self._table} WHERE sent_at < %s LIMIT {limit:d}) AS old"
        self._execute(cursor, f"DELETE FROM {self._table} WHERE id IN ({old})", [before])
        deleted = int(cursor.rowcount)
        self._end(cursor)
        return deleted

    def close(self) -> None:
        """Close the connection, and so roll back its transaction. The next use opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _begin(self) -> Any:
        if self._connection is None:
            self._connection = self._connect()
            self._dialect = dialect_of(self._connection)
            cursor = self._connection.cursor()
            if self._dialect == "mysql":  # else a read locks the gaps of the index, and the application waits
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            self._connection.commit()
        cursor = self._connection.cursor()
        if self._dialect == "sqlite":  # it has no locks of rows
            cursor.execute("BEGIN IMMEDIATE")
        return cursor

    def _end(self, cursor: Any) -> None:
        cursor.close()
        self._connection.commit()

    def _execute(self, cursor: Any, sql: str, arguments: list[object]) -> None:
        cursor.execute(sql.replace("%s", "?") if self._dialect == "sqlite" else sql, arguments)


def dialect_of(connection: object) -> str:
    """Return the kind of database of a connection."""
    package = type(connection).__module__.partition(".")[0]
    return {"sqlite3": "sqlite", "pymysql": "mysql", "MySQLdb": "mysql"}.get(package, "postgresql")


def connector(url: str) -> Callable[[], Any]:
    """Return what opens connections to the database of a URL: postgresql://, mysql:// or sqlite:///file.

    A `+driver` of the scheme is ignored. Raises ValueError for another URL.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("postgresql", "postgres"):
        plain = f"postgresql{url[url.index(':') :]}"
        return lambda: _postgresql(plain)
    if scheme in ("mysql", "mariadb"):
        return lambda: _mysql(url)
    if scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return lambda: _sqlite(unquote(parts.path[1:]))
    raise ValueError("the URL of the database is none of postgresql://, mysql:// and sqlite:///file")


def _postgresql(url: str) -> Any:
    try:
        import psycopg as driver
    except ModuleNotFoundError:
        import psycopg2 as driver  # type: ignore[no-redef]  # the other driver, with the same interface
    return driver.connect(url, connect_timeout=CONNECT_S)


def _mysql(url: str) -> Any:
    import pymysql

    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path[1:],
        charset="utf8mb4",
        connect_timeout=CONNECT_S,
        read_timeout=3 * CONNECT_S,
        write_timeout=3 * CONNECT_S,
    )


def _sqlite(path: str) -> Any:
    import sqlite3

    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
