"""The spans of submissions: sending the jobs, inserting them. Imported only while tracing is on."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

from opentelemetry.context import Context, attach
from opentelemetry.trace import Span, SpanKind, get_current_span

from api.submit.group_commit import GroupCommit
from common.domain.job import NewJob
from common.store.jobs.keyed_insert import BatchWrite, IdempotencyKey, InsertOutcome
from common.telemetry import traces


class TracedGroupCommit(GroupCommit):
    """A group commit that stores each sampled job with its trace context and records a span per insert."""

    async def submit(self, job: NewJob, tenant: int) -> None:
        """Store a job; see GroupCommit."""
        request = get_current_span()
        if not request.is_recording():  # an unsampled request stores no trace context either
            await super().submit(job, tenant)
            return
        with _SendSpan(request, [job]) as jobs:
            await super().submit(jobs[0], tenant)

    async def submit_once(
        self, jobs: Sequence[NewJob], key: IdempotencyKey | None, tenant: int, batch: BatchWrite | None = None
    ) -> InsertOutcome:
        """Store jobs with keys or of a batch, all or none; see GroupCommit."""
        request = get_current_span()
        if not request.is_recording():
            return await super().submit_once(jobs, key, tenant, batch)
        with _SendSpan(request, jobs) as traced_jobs, _insert_spans(traced_jobs if batch else ()):
            return await super().submit_once(traced_jobs, key, tenant, batch)

    async def _flush(self) -> None:
        # Started by one request, the flusher serves all. The context ends with the task: nothing to detach.
        attach(Context())
        await super()._flush()

    async def _insert(self, jobs: Sequence[NewJob], tenants: Collection[int]) -> None:
        with _insert_spans(jobs):
            await super()._insert(jobs, tenants)

    async def _insert_storable(self, jobs: Sequence[NewJob], tenants: Collection[int]) -> Mapping[UUID, Exception]:
        with _insert_spans(jobs):
            return await super()._insert_storable(jobs, tenants)


@contextmanager
def _insert_spans(jobs: Sequence[NewJob]) -> Iterator[None]:
    """Record the insert of jobs until the end of the block."""
    # One span in the trace of each submission, not one span with links: a commit has many submissions, and each
    # trace should show how long its commit took.
    parents = {job.trace for job in jobs if job.trace is not None}
    attributes = {"db.system.name": "postgresql", "db.operation.name": "INSERT", "db.collection.name": "jobs"}
    size = {"db.operation.batch.size": len(jobs)} if len(jobs) > 1 else {}
    spans = [
        traces.start("INSERT jobs", SpanKind.CLIENT, traces.context(parent), attributes | size) for parent in parents
    ]
    try:
        yield
    except BaseException as error:
        for span in spans:
            traces.fail(span, type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


class _SendSpan:
    """The span of sending jobs; yields the jobs with its trace context."""

    def __init__(self, request: Span, jobs: Sequence[NewJob]) -> None:
        queues = {job.queue for job in jobs}
        name = f"send {jobs[0].queue}" if len(queues) == 1 else "send"
        attributes: dict[str, str | int] = {
            "messaging.system": "jobproc",
            "messaging.operation.name": "send",
            "messaging.operation.type": "send",
        }
        if len(queues) == 1:
            attributes["messaging.destination.name"] = jobs[0].queue
        if len(jobs) == 1:
            attributes |= {"messaging.message.id": str(jobs[0].id), "jobproc.operation": jobs[0].operation}
        else:
            attributes["messaging.batch.message_count"] = len(jobs)
        self._span = traces.start(name, SpanKind.PRODUCER, request.get_span_context(), attributes)
        trace = traces.traceparent(self._span.get_span_context())
        self._jobs = [replace(job, trace=trace) for job in jobs]

    def __enter__(self) -> list[NewJob]:
        return self._jobs

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            traces.fail(self._span, type(error).__name__)
        self._span.end()
