"""Connections of the API whose calls other sessions may block, and the ways in which an attempt ends."""

from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import asyncpg
from integration.store.support.cancel_retry import cancelled, retried
from integration.store.support.sessions import Loop
from integration.store.support.storage import ERROR, LOST, RELEASE, Claimer, Storage, results, retry_after

from common.domain.decisions import CANCELLED, WORKER_LOST, Decision, Fail, Retry
from common.domain.job import ClaimedJob
from common.domain.states import State
from common.store.jobs import claims, failures
from common.store.jobs.cancel_retry import ManualRetry

T = TypeVar("T")
#: The ways in which an attempt ends; None: with a result.
ENDINGS: dict[str, Decision | None] = {
    "settle": None,
    "fail": Fail(ERROR),
    "retry": retry_after(0),
    "release": RELEASE,
    "rescue": Retry(WORKER_LOST, 0),
    "give up": LOST,
    "end": Fail(CANCELLED),
}


class Client:
    """A connection of the API. Its calls return a future at once."""

    def __init__(self, storage: Storage, loop: Loop) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(storage.connect())
        self.pid = self.connection.get_server_pid()

    def start(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return self._loop.start(work)

    def begin(self) -> None:
        """Begin a transaction, which transactions of the product join."""
        self._open = self.connection.transaction()
        self._loop.run(self._open.start())

    def end(self, *, commits: bool = True) -> None:
        self._loop.run(self._open.commit() if commits else self._open.rollback())

    def cancel(self, job_id: str) -> "Future[State | None]":
        return self.start(cancelled(self.connection, job_id))

    def retry(self, job_id: str, new_input: str | None = None) -> "Future[ManualRetry | None]":
        return self.start(retried(self.connection, job_id, new_input))

    def close(self) -> None:
        self._loop.run(self.connection.close())


def end_attempts(claimer: Claimer, jobs: list[ClaimedJob], ending: str) -> set[str]:
    """End attempts inside of the open transaction. Returns the ids of jobs that were not fenced."""
    decision = ENDINGS[ending]
    if decision is None:
        return claims.settle(claimer.connection, claimer.id, results(jobs))
    return failures.write_decisions(claimer.connection, claimer.id, [(job, decision) for job in jobs])


def cancelled_job(storage: Storage, client: Client) -> str:
    """Store a job and cancel it before it runs. Returns its id."""
    (job_id,) = storage.submit()
    assert client.cancel(job_id).result(10) is State.CANCELLED
    return job_id
