"""Sessions that may keep a transaction open, and what happens when one of them waits for another."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from integration.store.support.storage import Storage
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from common.domain.job import NewJob
from common.domain.states import State
from common.store.connection.psycopg2_session import WorkerConnection
from common.store.jobs import cancel_retry, insert
from common.store.jobs.cancel_retry import ManualRetry

T = TypeVar("T")
LIMIT_S = 30.0
PAUSE_S = 0.005


class Joining(WorkerConnection):
    """A connection whose transactions join the one that is open already, so that the product's own code runs inside of it."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self.driver_connection.info.transaction_status == TRANSACTION_STATUS_IDLE:
            with super().transaction():
                yield
        else:
            yield


class Session:
    """A connection such as workers and controllers have."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.connection = Joining(storage.settings, "test", by_index=True)
        self.pid = int(self.connection.driver_connection.info.backend_pid)

    def begin(self) -> None:
        self.connection._cursor.execute("BEGIN")

    def end(self, *, commits: bool) -> None:
        self.connection._cursor.execute("COMMIT" if commits else "ROLLBACK")

    def reset(self) -> None:
        if self.connection.driver_connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
            self.end(commits=False)

    def start(self, work: Callable[[], T]) -> "Future[T]":
        """Do something in a thread."""
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
    """A connection such as the API has."""

    def __init__(self, storage: Storage, loop: Loop) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(storage.connect())
        self.pid = self.connection.get_server_pid()

    def begin(self) -> None:
        """Begin a transaction; one of the product's own joins it."""
        self._open = self.connection.transaction()
        self._loop.run(self._open.start())

    def end(self, *, commits: bool) -> None:
        self._loop.run(self._open.commit() if commits else self._open.rollback())

    def reset(self) -> None:
        if self.connection.is_in_transaction():
            self.end(commits=False)

    def insert(self, jobs: Sequence[NewJob], late_s: float) -> "Future[None]":
        """Store jobs; they are visible only so many seconds after they got their places. Returns at once."""
        return self._loop.start(self._insert(jobs, late_s))

    async def _insert(self, jobs: Sequence[NewJob], late_s: float) -> None:
        await insert.insert_jobs(self.connection, jobs)
        if late_s:
            late = "UPDATE live SET pos = pos - $1 * interval '1 s' WHERE id = ANY($2)"
            await self.connection.execute(late, late_s, [job.id for job in jobs])

    def cancel(self, job_id: str) -> "Future[State | None]":
        """Cancel a job. Returns at once."""
        return self._loop.start(cancel_retry.cancel_job(self.connection, UUID(job_id)))

    def rerun(self, job_id: str, text: str | None) -> "Future[ManualRetry | None]":
        """Ask for another epoch of a job. Returns at once."""
        return self._loop.start(cancel_retry.retry_job(self.connection, UUID(job_id), text))

    def run(self, work: Callable[[asyncpg.Connection], Coroutine[Any, Any, T]]) -> T:
        return self._loop.run(work(self.connection))

    def close(self) -> None:
        self._loop.run(self.connection.close())


def meet(storage: Storage, session: Session | Api, future: "Future[T]", end: Callable[[int], None]) -> tuple[T, bool]:
    """Wait for what a session does; as long as it waits for another session, that one is ended. Returns whether it had to wait."""
    waited = False
    try:
        for _ in range(round(LIMIT_S / PAUSE_S)):
            if wait([future], PAUSE_S).done:
                return future.result(), waited
            for pid in storage.one("SELECT pg_blocking_pids(%s)", (session.pid,)):
                waited = True
                end(pid)
        raise AssertionError(f"not done within {LIMIT_S:g} s")
    finally:
        if not future.done():  # a failed test leaves nobody waiting
            storage.one("SELECT pg_cancel_backend(%s)", (session.pid,))
            wait([future], LIMIT_S)
