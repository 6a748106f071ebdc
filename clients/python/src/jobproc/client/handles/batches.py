"""Batches: handles of one, collectors of its jobs, and the verbs of clients about any."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, overload

from typing_extensions import TypedDict

from jobproc.client.calls import batches
from jobproc.client.calls.jobs import OMITTED, submission
from jobproc.client.connection.drivers import AsyncDriver, Driver
from jobproc.client.connection.session import Session
from jobproc.client.connection.steps import Flow
from jobproc.client.connection.verbs import D, Resource, Thing, items, own_verb, verb
from jobproc.client.errors import NotSent
from jobproc.client.handles.jobs import AsyncJob, Job, JobHandle
from jobproc.client.operations import OperationCall, submission_of
from jobproc.client.progress_bar import ProgressBar
from jobproc.client.views.batches import BatchSummary, BatchView
from jobproc.submission import SubmitOptions

P = ParamSpec("P")
R = TypeVar("R")

CHUNK_JOBS = 1_000  # sent in one request


class BatchOptions(TypedDict, total=False):
    """Options of a batch."""

    follow_up: Mapping[str, Any]  #: a submission that is stored once when all jobs have ended
    webhook: Mapping[str, str] | None


class BatchVerbs(Resource[D]):
    """The verbs of a client about batches."""

    submit = verb(batches.submit)
    create = verb(batches.create)
    add = verb(batches.add)
    close = verb(batches.close)
    get = verb(batches.batch)
    cancel = verb(batches.cancel)
    page = verb(batches.page)
    list = items(batches.batches, BatchSummary)


class BatchHandle(Thing[D], Generic[D]):
    """A batch whose jobs are collected, and sent a thousand at a time.

    A batch of up to a thousand jobs is sent in one request, at the end of its block: all or none.
    """

    details = own_verb(batches.batch)
    close = own_verb(batches.close)
    cancel = own_verb(batches.cancel)

    def __init__(self, session: Session, driver: D, options: BatchOptions, batch_id: str = "") -> None:
        super().__init__(session, driver, batch_id)
        self._options = options
        self._is_closed = bool(batch_id)
        self._waiting: list[tuple[dict[str, Any], JobHandle[Any, Any]]] = []

    @property
    def id(self) -> str:
        """The id. Raises NotSent if nothing has been sent yet."""
        if not self._id:
            raise NotSent("the batch is sent at the end of its block, or by flush()")
        return self._id

    def _collect(self, job: JobHandle[Any, Any], body: dict[str, Any]) -> None:
        self._waiting.append((body, job))

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) >= CHUNK_JOBS

    def _flush(self) -> Flow[None]:
        """Send what is collected, to an open batch."""
        if not self._id:
            created = yield batches.create(dict(self._options))
            self._id = created.batch_id
        while chunk := self._waiting[:CHUNK_JOBS]:
            added = yield batches.add(self._id, [body for body, _ in chunk])
            self._sent(chunk, added.job_ids)

    def _end(self) -> Flow[None]:
        """Send what is left, and close the batch."""
        if self._is_closed:
            return
        if not self._id and self._waiting:
            accepted = yield batches.submit([body for body, _ in self._waiting], dict(self._options))
            self._id = accepted.batch_id
            self._sent(list(self._waiting), accepted.job_ids)
        else:
            yield from self._flush()
            yield batches.close(self._id)
        self._is_closed = True

    def _give_up(self) -> Flow[None]:
        """Cancel what has been sent: the block has raised."""
        self._waiting.clear()
        if self._id:
            yield batches.cancel(self._id)

    def _sent(self, chunk: Sequence[tuple[dict[str, Any], JobHandle[Any, Any]]], ids: Sequence[str]) -> None:
        for (_, job), job_id in zip(chunk, ids, strict=True):
            job.sent(job_id)
        del self._waiting[: len(chunk)]

    def _wait(self, timeout: float | None, *, progress: bool) -> Any:
        bar = ProgressBar(None) if progress else None
        return self._run(batches.wait(self.id, timeout, self._session.clock, bar))


class Batch(BatchHandle[Driver]):
    """A batch."""

    @overload
    def submit(self, operation: str, job_input: object = OMITTED, /, **options: Unpack[SubmitOptions]) -> Job[Any]: ...
    @overload
    def submit(self, operation: OperationCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Job[R]: ...
    def submit(self, operation: str | OperationCall[..., Any], /, *args: Any, **named: Any) -> Job[Any]:
        """Add a job. It has an id once the batch is sent."""
        name, job_input, options, load = submission_of(operation, args, named)
        job: Job[Any] = Job(self._session, self._driver, "", load)
        self._collect(job, submission(name, job_input, options))
        if self._is_full:
            self.flush()
        return job

    def flush(self) -> None:
        """Send the jobs that are collected."""
        self._run(self._flush())

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> BatchView:
        """Wait for its end. `progress`: draw a bar on stderr. Raises TimeoutError."""
        view: BatchView = self._wait(timeout, progress=progress)
        return view

    def __enter__(self) -> Self:
        """Begin to collect jobs."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the jobs and close the batch; after an exception, cancel what was sent."""
        self._run(self._end() if kind is None else self._give_up())


class AsyncBatch(BatchHandle[AsyncDriver]):
    """A batch, for `AsyncClient`."""

    @overload
    async def submit(
        self, operation: str, job_input: object = OMITTED, /, **options: Unpack[SubmitOptions]
    ) -> AsyncJob[Any]: ...
    @overload
    async def submit(self, operation: OperationCall[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncJob[R]: ...
    async def submit(self, operation: str | OperationCall[..., Any], /, *args: Any, **named: Any) -> AsyncJob[Any]:
        """Add a job. It has an id once the batch is sent."""
        name, job_input, options, load = submission_of(operation, args, named)
        job: AsyncJob[Any] = AsyncJob(self._session, self._driver, "", load)
        self._collect(job, submission(name, job_input, options))
        if self._is_full:
            await self.flush()
        return job

    async def flush(self) -> None:
        """Send the jobs that are collected."""
        await self._run(self._flush())

    async def wait(self, timeout: float | None = None, *, progress: bool = False) -> BatchView:
        """Wait for its end. `progress`: draw a bar on stderr. Raises TimeoutError."""
        view: BatchView = await self._wait(timeout, progress=progress)
        return view

    async def __aenter__(self) -> Self:
        """Begin to collect jobs."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send the jobs and close the batch; after an exception, cancel what was sent."""
        await self._run(self._end() if kind is None else self._give_up())
