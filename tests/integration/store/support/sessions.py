"""Sessions that may keep a transaction open, and calls in one session that another one blocks."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar

import asyncpg
from integration.store.support.cancel_retry import cancelled, retried
from integration.store.support.storage import Storage
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from common.domain.job import NewJob
from common.domain.states import State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import insert
from common.store.jobs.cancel_retry import ManualRetry

T = TypeVar("T")
LIMIT_S = 30.0
PAUSE_S = 0.005


class JoiningConnection(WorkerConnection):
    """A connection whose transactions join the open one, so that code of the product runs inside of it."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.driver_connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            with super().transaction():
                yield
        else:
            yield


class Session:
    """A connection as worker processes and controllers have."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.connection = JoiningConnection(storage.settings, "test", by_index=True)
        self.pid = int(self.connection.driver_connection.info.backend_pid)

    def begin(self) -> None:
        self.connection._cursor.execute("BEGIN")

    def end(self, *, commits: bool) -> None:
        self.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")

    def reset(self) -> None:
        if self.connection.driver_connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self.end(commits=False)

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Run work in a thread."""
        return self.storage.begin(work)

    def close(self) -> None:
        self.connection.close()


class Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.start(work).result(LIMIT_S)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Api:
    """A connection as the API has."""

    def __init__(self, storage: Storage, loop: Loop) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(storage.connect())
        self.pid = self.connection.get_server_pid()

    def begin(self) -> None:
        """Begin a transaction, which transactions of the product join."""
        self._open = self.connection.transaction()
        self._loop.run(self._open.start())

    def end(self, *, commits: bool) -> None:
        self._loop.run(self._open.commit() if commits else self._open.rollback())

    def reset(self) -> None:
        if self.connection.is_in_transaction():
            self.end(commits=False)

    def insert(self, jobs: Sequence[NewJob], late_s: float) -> "Future[None]":
        """Store jobs as if they committed `late_s` seconds after they got their positions. Returns at once."""
        return self._loop.start(self._insert(jobs, late_s))

    async def _insert(self, jobs: Sequence[NewJob], late_s: float) -> None:
        await insert.insert_jobs(self.connection, jobs)
        if late_s:
            late = "UPDATE live SET claimable_at = claimable_at - $1 * interval '1 s' WHERE id = ANY($2)"
            await self.connection.execute(late, late_s, [job.id for job in jobs])

    def cancel(self, job_id: str) -> "Future[State | None]":
        """Cancel a job. Returns at once."""
        return self._loop.start(cancelled(self.connection, job_id))

    def retry(self, job_id: str, new_input: str | None) -> "Future[ManualRetry | None]":
        """Retry a job by request. Returns at once."""
        return self._loop.start(retried(self.connection, job_id, new_input))

    def run(self, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, T]]) -> T:
        return self._loop.run(work(self.connection))

    def close(self) -> None:
        self._loop.run(self.connection.close())


def await_call(
    storage: Storage, session: Session | Api, future: "Future[T]", unblock: Callable[[int], None]
) -> tuple[T, bool]:
    """Wait for a call in a session. `unblock` gets the pid of each session that blocks it, to end its transaction.

    Returns the result, and True if the call was blocked.
    """
    blocked = False
    try:
        for _ in range(round(LIMIT_S / PAUSE_S)):
            if wait([future], PAUSE_S).done:
                return future.result(), blocked
            for pid in storage.value("SELECT pg_blocking_pids(%s)", (session.pid,)):
                blocked = True
                unblock(pid)
        raise AssertionError(f"not done within {LIMIT_S:g} s")
    finally:
        if not future.done():  # so that a failed test leaves no call blocked
            storage.value("SELECT pg_cancel_backend(%s)", (session.pid,))
            wait([future], LIMIT_S)
