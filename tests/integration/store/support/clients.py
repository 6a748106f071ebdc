"""Connections of the API whose calls may wait for others, and the ways in which an attempt ends beside them."""

from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from integration.store.support.sessions import Loop
from integration.store.support.storage import BACK, ERROR, LOST, Claimer, Storage, results, retry_after

from common.domain.decisions import CANCELLED, WORKER_LOST, Decision, Fail, Retry
from common.domain.job import ClaimedJob
from common.domain.states import State
from common.store.jobs import cancel_retry, claims, failures
from common.store.jobs.cancel_retry import ManualRetry

T = TypeVar("T")
ENDS: dict[str, Decision | None] = {
    "settle": None,
    "fail": Fail(ERROR),
    "retry": retry_after(0),
    "release": BACK,
    "rescue": Retry(WORKER_LOST, 0),
    "give up": LOST,
    "end": Fail(CANCELLED),
}


class Client:
    """A connection of the API; each call returns at once."""

    def __init__(self, storage: Storage, loop: Loop) -> None:
        self._loop = loop
        self.connection: asyncpg.Connection = loop.run(storage.connect())
        self.pid = self.connection.get_server_pid()

    def do(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        return self._loop.start(work)

    def begin(self) -> None:
        """Begin a transaction; one of the product's own joins it."""
        self._open = self.connection.transaction()
        self._loop.run(self._open.start())

    def end(self, *, commits: bool = True) -> None:
        self._loop.run(self._open.commit() if commits else self._open.rollback())

    def cancel(self, job_id: str) -> "Future[State | None]":
        return self.do(cancel_retry.cancel_job(self.connection, UUID(job_id)))

    def rerun(self, job_id: str, text: str | None = None) -> "Future[ManualRetry | None]":
        return self.do(cancel_retry.retry_job(self.connection, UUID(job_id), text))

    def close(self) -> None:
        self._loop.run(self.connection.close())


def end(claimer: Claimer, jobs: list[ClaimedJob], how: str) -> set[str]:
    """End attempts, inside of whatever transaction is open."""
    decision = ENDS[how]
    if decision is None:
        return claims.settle(claimer.connection, claimer.id, results(jobs))
    return failures.write_decisions(claimer.connection, claimer.id, [(job, decision) for job in jobs])


def cancelled(storage: Storage, client: Client) -> str:
    """Return a job that was cancelled before it ran."""
    (job_id,) = storage.submit()
    assert client.cancel(job_id).result(10) is State.CANCELLED
    return job_id
