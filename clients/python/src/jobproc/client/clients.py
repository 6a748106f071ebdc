"""The clients: `Client` waits for each call, `AsyncClient` awaits it."""

import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

from typing_extensions import TypedDict

from jobproc.client.calls import jobs, reads
from jobproc.client.calls.jobs import OMITTED
from jobproc.client.connection.configuration import configuration
from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.connection.session import Session
from jobproc.client.connection.verbs import D, verb
from jobproc.client.handles.batches import AsyncBatch, Batch, BatchOptions, BatchVerbs
from jobproc.client.handles.jobs import AsyncJob, Job, JobVerbs
from jobproc.submission import SubmitOptions


class Arguments(TypedDict, total=False):
    """The configuration of a client. What is not given comes from the environment, then from the profile."""

    url: str
    api_key: str
    profile: str
    oidc_issuer: str
    oidc_client_id: str
    oidc_client_secret: str
    oidc_scope: str
    oidc_audience: str
    ca_file: str
    proxy: str
    timeout_s: float


def _session(
    arguments: Arguments,
    retries: RetryPolicy | None,
    clock: Callable[[], float] = time.monotonic,
    chance: Callable[[], float] = random.random,
) -> Session:
    return Session(configuration(dict(arguments)), retries, clock, chance)  # type: ignore[arg-type]  # only str and float


class ClientVerbs(JobVerbs[D]):
    """The verbs that both clients have, and their resources."""

    request = verb(reads.raw)

    def __init__(self, session: Session, driver: D) -> None:
        super().__init__(session, driver)
        self.batches: BatchVerbs[D] = BatchVerbs(session, driver)

    @property
    def url(self) -> str:
        """The base URL of the API."""
        return self._session.configuration.url


class Client(ClientVerbs[Driver]):
    """A client of the API. One is enough for a process: threads may share it."""

    def __init__(self, retries: RetryPolicy | None = None, **arguments: Unpack[Arguments]) -> None:
        """Raise ConfigurationError if the configuration cannot work. Nothing is sent yet."""
        session = _session(arguments, retries)
        super().__init__(session, Driver(session.configuration))

    def submit(self, operation: str, job_input: object = OMITTED, /, **options: Unpack[SubmitOptions]) -> Job[Any]:
        """Submit a job. It is stored once, however often the request has to be repeated."""
        accepted = self._run(jobs.submit(operation, job_input, options))
        return Job(self._session, self._driver, accepted.job_id, None, accepted)

    def run(
        self,
        operation: str,
        job_input: object = OMITTED,
        /,
        timeout: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Any:
        """Submit a job and wait for its result, in one request if it is quick."""
        wait_s = jobs.LONG_POLL_S if timeout is None else min(timeout, jobs.LONG_POLL_S)
        accepted = self._run(jobs.submit(operation, job_input, options, wait_s))
        return Job(self._session, self._driver, accepted.job_id, None, accepted).result(timeout)

    def job(self, job_id: str) -> Job[Any]:
        """Return a handle of a job; nothing is sent."""
        return Job(self._session, self._driver, job_id)

    def result(self, job_id: str, timeout: float | None = None) -> Any:
        """Wait for the end of a job, and return its result. Raises JobFailed, JobCancelled, or TimeoutError."""
        return self.job(job_id).result(timeout)

    def batch(self, batch_id: str = "", /, **options: Unpack[BatchOptions]) -> Batch:
        """Return a new batch, whose jobs are submitted in a block of `with`; or a handle of one that exists."""
        return Batch(self._session, self._driver, options, batch_id)

    def close(self) -> None:
        """Close the connections."""
        self._driver.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()


class AsyncClient(ClientVerbs[AsyncDriver]):
    """A client of the API for asyncio. It belongs to the event loop in which it is used."""

    def __init__(self, retries: RetryPolicy | None = None, **arguments: Unpack[Arguments]) -> None:
        """Raise ConfigurationError if the configuration cannot work. Nothing is sent yet."""
        session = _session(arguments, retries)
        super().__init__(session, AsyncDriver(session.configuration))

    async def submit(
        self, operation: str, job_input: object = OMITTED, /, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[Any]:
        """Submit a job. It is stored once, however often the request has to be repeated."""
        accepted = await self._run(jobs.submit(operation, job_input, options))
        return AsyncJob(self._session, self._driver, accepted.job_id, None, accepted)

    async def run(
        self,
        operation: str,
        job_input: object = OMITTED,
        /,
        timeout: float | None = None,  # noqa: ASYNC109 - that of the API, not of the task
        **options: Unpack[SubmitOptions],
    ) -> Any:
        """Submit a job and wait for its result, in one request if it is quick."""
        wait_s = jobs.LONG_POLL_S if timeout is None else min(timeout, jobs.LONG_POLL_S)
        accepted = await self._run(jobs.submit(operation, job_input, options, wait_s))
        return await AsyncJob(self._session, self._driver, accepted.job_id, None, accepted).result(timeout)

    def job(self, job_id: str) -> AsyncJob[Any]:
        """Return a handle of a job; nothing is sent."""
        return AsyncJob(self._session, self._driver, job_id)

    async def result(self, job_id: str, timeout: float | None = None) -> Any:  # noqa: ASYNC109 - that of the API
        """Wait for the end of a job, and return its result. Raises JobFailed, JobCancelled, or TimeoutError."""
        return await self.job(job_id).result(timeout)

    def batch(self, batch_id: str = "", /, **options: Unpack[BatchOptions]) -> AsyncBatch:
        """Return a new batch, whose jobs are submitted in a block of `async with`; or a handle of one that exists."""
        return AsyncBatch(self._session, self._driver, options, batch_id)

    async def close(self) -> None:
        """Close the connections."""
        await self._driver.close()

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.close()
