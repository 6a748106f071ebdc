"""The client for asyncio, with the verbs of `Client`."""

from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack, overload

from jobproc.client.arguments import WINDOW_JOBS, Arguments, ClientVerbs, session_of, total_of
from jobproc.client.calls import bulk_actions, jobs
from jobproc.client.calls.reads import LiveEvent, live
from jobproc.client.connection.drivers import AsyncDriver
from jobproc.client.connection.retries import RetryPolicy
from jobproc.client.handles.batches import AsyncBatch, BatchOptions
from jobproc.client.handles.bulk_actions import AsyncBulkAction, BulkActionVerbs, Draft
from jobproc.client.handles.jobs import AsyncJob, JobEvent
from jobproc.client.handles.workflows import AsyncWorkflow
from jobproc.client.operations import OperationCall, submission_of
from jobproc.client.progress_bar import ProgressBar
from jobproc.client.views.jobs import ValidSubmission
from jobproc.submission import SubmitOptions

P = ParamSpec("P")
R = TypeVar("R")


class AsyncClient(ClientVerbs[AsyncDriver]):
    """A client of the API for asyncio. It belongs to the event loop in which it is used."""

    def __init__(self, retries: RetryPolicy | None = None, **arguments: Unpack[Arguments]) -> None:
        """Raise ConfigurationError if the configuration cannot work. Nothing is sent yet."""
        session = session_of(arguments, retries)
        super().__init__(session, AsyncDriver(session.configuration))
        self.bulk: BulkActionVerbs[AsyncDriver, Coroutine[Any, Any, AsyncBulkAction]] = self._bulk_actions(
            self._preview
        )

    @overload
    async def submit(
        self, operation: str, job_input: object = jobs.OMITTED, /, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[Any]: ...
    @overload
    async def submit(self, operation: OperationCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]: ...
    async def submit(self, operation: str | OperationCall[..., Any], /, *args: Any, **named: Any) -> AsyncJob[Any]:
        """Submit a job. It is stored once, however often the request has to be repeated."""
        return await self._submit(operation, args, named, 0.0)

    @overload
    async def run(
        self,
        operation: str,
        job_input: object = jobs.OMITTED,
        /,
        timeout: float | None = None,
        **options: Unpack[SubmitOptions],
    ) -> Any: ...
    @overload
    async def run(self, operation: OperationCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    async def run(self, operation: str | OperationCall[..., Any], /, *args: Any, **named: Any) -> Any:
        """Submit a job and wait for its result, in one request if it is quick.

        Raises JobFailed, JobCancelled, or TimeoutError.
        """
        timeout = named.pop("timeout", None) if isinstance(operation, str) else None
        wait_s = jobs.LONG_POLL_S if timeout is None else min(timeout, jobs.LONG_POLL_S)
        began_at = self._session.clock()
        job = await self._submit(operation, args, named, wait_s)
        return await job.result(None if timeout is None else max(0.0, began_at + timeout - self._session.clock()))

    @overload
    async def validate(
        self, operation: str, job_input: object = jobs.OMITTED, /, **options: Unpack[SubmitOptions]
    ) -> ValidSubmission: ...
    @overload
    async def validate(
        self, operation: OperationCall[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> ValidSubmission: ...
    async def validate(self, operation: str | OperationCall[..., Any], /, *args: Any, **named: Any) -> ValidSubmission:
        """Validate a job as `submit` does, and submit nothing; return what would be stored."""
        name, job_input, options, _ = submission_of(operation, args, named)
        valid: ValidSubmission = await self._run(jobs.validate(name, job_input, options))
        return valid

    async def _submit(
        self, operation: str | OperationCall[..., Any], args: tuple[Any, ...], named: dict[str, Any], wait_s: float
    ) -> AsyncJob[Any]:
        name, job_input, options, load = submission_of(operation, args, named)
        accepted = await self._run(jobs.submit(name, job_input, options, wait_s))
        return AsyncJob(self._session, self._driver, accepted.job_id, load, accepted)

    @overload
    def map(
        self,
        operation: OperationCall[..., R],
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        window: int = ...,
        as_completed: bool = ...,
        progress: bool = ...,
        **options: Unpack[SubmitOptions],
    ) -> AsyncIterator[AsyncJob[R]]: ...
    @overload
    def map(
        self,
        operation: str,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        window: int = ...,
        as_completed: bool = ...,
        progress: bool = ...,
        **options: Unpack[SubmitOptions],
    ) -> AsyncIterator[AsyncJob[Any]]: ...
    def map(
        self,
        operation: str | OperationCall[..., Any],
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        window: int = WINDOW_JOBS,
        as_completed: bool = False,
        progress: bool = False,
        **options: Unpack[SubmitOptions],
    ) -> AsyncIterator[AsyncJob[Any]]:
        """Submit a job for each input, and yield the jobs that have ended: in order, or `as_completed`.

        At most `window` jobs are on their way, so the inputs may be endless. `progress`: draw a bar on stderr.
        """
        bar = ProgressBar(total_of(inputs)) if progress else None
        report = bar.update if bar else _no_report
        source = aiter(inputs) if isinstance(inputs, AsyncIterable) else iter(inputs)
        load = operation.load if isinstance(operation, OperationCall) else None
        ended = self._mapped(operation, source, window, report, options, is_ordered=not as_completed)
        return self._yielded(ended, load, bar)

    async def _yielded(
        self, ended: AsyncIterator[Any], load: Any, bar: ProgressBar | None
    ) -> AsyncIterator[AsyncJob[Any]]:
        async for view in ended:
            yield AsyncJob(self._session, self._driver, view.job_id, load, view)
        if bar:
            bar.end()

    async def as_completed(self, of: Iterable[AsyncJob[R]], timeout: float | None = None) -> AsyncIterator[AsyncJob[R]]:
        """Yield jobs as they end: hundreds are asked for in one request. Raises TimeoutError."""
        by_id, ended = self._ended(of, timeout)
        async for view in ended:
            yield by_id[view.job_id].known(view)

    async def gather(self, of: Iterable[AsyncJob[R]], timeout: float | None = None) -> list[R]:
        """Wait for all jobs, and return their results in order. Raises the error of the first one that failed."""
        waited = list(of)
        async for _ in self.as_completed(waited, timeout):
            pass
        return [await job.result() for job in waited]

    def job(self, job_id: str) -> AsyncJob[Any]:
        """Return a handle of a job; nothing is sent."""
        return AsyncJob(self._session, self._driver, job_id)

    async def result(self, job_id: str, timeout: float | None = None) -> Any:
        """Wait for the end of a job, and return its result. Raises JobFailed, JobCancelled, or TimeoutError."""
        return await self.job(job_id).result(timeout)

    def events(self, job_id: str) -> AsyncIterator[JobEvent]:
        """Follow a job until it has ended; an interrupted stream is resumed."""
        return self.job(job_id).events()

    def live(self) -> AsyncIterator[LiveEvent]:
        """Follow the queues, the worker processes and running bulk actions, without an end."""
        return self._driver.iterate(live(self._session))  # type: ignore[no-any-return]  # of either driver

    def batch(self, batch_id: str = "", /, **options: Unpack[BatchOptions]) -> AsyncBatch:
        """Return a new batch, whose jobs are submitted in a block of `async with`; or a handle of one that exists."""
        return AsyncBatch(self._session, self._driver, options, batch_id)

    def workflow(self, workflow_id: str) -> AsyncWorkflow:
        """Return a handle of a workflow; nothing is sent."""
        return AsyncWorkflow(self._session, self._driver, workflow_id)

    async def bulk_action(self, bulk_action_id: str) -> AsyncBulkAction:
        """Return a handle of a bulk action, as it is now."""
        return AsyncBulkAction(self._session, self._driver, await self._run(bulk_actions.bulk_action(bulk_action_id)))

    async def _preview(self, draft: Draft[Any]) -> AsyncBulkAction:
        view = await self._run(bulk_actions.preview(draft.action, draft.filter, draft.options))
        return AsyncBulkAction(self._session, self._driver, view)

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


def _no_report(submitted: int, ended: int) -> None:
    """Report nothing."""
