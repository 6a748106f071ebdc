"""The outbox: writes jobs to its table, in the transaction that the application has open."""

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from typing_extensions import Unpack

from jobproc.errors import SubmissionError
from jobproc.outbox.connections import execute, execute_async
from jobproc.outbox.table import TABLE, checked_name
from jobproc.submission import SubmitOptions, json_of


class Outbox:
    """A table of the application's database with the jobs that its transactions submit."""

    def __init__(self, table: str = TABLE, clock: Callable[[], float] = time.time) -> None:
        """`table`: its name, which may have its schema before it. Raises DeclarationError."""
        self.table = checked_name(table)
        self._clock = clock

    def submit(
        self, connection: Any, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]
    ) -> str:
        """Submit a job with the transaction of a connection, and return the id of its row.

        `connection`: a Session or Connection of SQLAlchemy, a connection of psycopg, psycopg2, PyMySQL, mysqlclient or
        sqlite3, or `django.db.connection`. `options`: as those of the HTTP API; a delay begins now. The id is the
        Idempotency-Key of the submission. Raises SubmissionError for what cannot be submitted as JSON.
        """
        row_id, values = self._row(operation, job_input, options)
        execute(connection, self.table, values)
        return row_id

    async def submit_async(
        self, connection: Any, operation: str, job_input: object = None, /, **options: Unpack[SubmitOptions]
    ) -> str:
        """Submit a job as `submit` does, by an asynchronous connection.

        `connection`: an AsyncSession or AsyncConnection of SQLAlchemy, an AsyncConnection of psycopg, or a connection
        of asyncpg.
        """
        row_id, values = self._row(operation, job_input, options)
        await execute_async(connection, self.table, values)
        return row_id

    def read(self, cursor: Any, columns: Sequence[str], row_id: str) -> Sequence[Any] | None:
        """Read columns of a row with a cursor of Django; None: there is no such row."""
        cursor.execute(f"SELECT {', '.join(columns)} FROM {self.table} WHERE id = %s", [row_id])
        row: Sequence[Any] | None = cursor.fetchone()
        return row

    def _row(self, operation: str, job_input: object, options: SubmitOptions) -> tuple[str, dict[str, object]]:
        """Return the id and the values of a row. Raises SubmissionError."""
        if "idempotency_key" in options:
            raise SubmissionError("idempotency_key cannot be set in an outbox: the id of the row is the key")
        now = self._clock()
        body: dict[str, object] = {"operation": operation, **options}
        if (delay_s := options.get("delay_seconds")) is not None:  # from here on, not from the relay's turn
            del body["delay_seconds"]
            body["run_at"] = datetime.fromtimestamp(now, UTC) + timedelta(seconds=delay_s)
        if job_input is not None:
            body["input"] = job_input
        row_id = str(_new_id(now))
        text = json_of(body, f"the job for {operation!r}")
        return row_id, {"id": row_id, "body": text, "created_at": now, "due_at": now}


def _new_id(now: float) -> UUID:
    """Return a UUIDv7: rows of one time are beside each other in the index."""
    value = int(now * 1000) << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76) & ~(0x3 << 62) | 0x7 << 76 | 0x2 << 62)
