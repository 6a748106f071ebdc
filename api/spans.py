"""The spans of the API: a request, the sending of its jobs, their insert. Imported only while tracing is on."""

from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanContext, SpanKind, get_current_span, set_span_in_context
from starlette.types import ASGIApp, Receive, Scope, Send

from api.intake import Intake
from api.meters import METHODS, Answer, route
from common.domain.job import NewJob
from common.store.once import Key, Stored
from common.telemetry import traces

PROBES = frozenset({"/livez", "/readyz"})  # asked every few seconds by machines that look at the answer themselves
FIRST_ERROR = 500


class Traced:
    """A span for each request. It says nothing of paths, queries, headers or bodies: they are the client's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http" or scope["path"].rstrip("/") in PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        name = "HTTP" if method == "_OTHER" else method
        span = traces.start(name, SpanKind.SERVER, _parent(scope), {"http.request.method": method, "url.scheme": scope["scheme"]})
        answer = Answer(send)
        token = attach(set_span_in_context(span, Context()))
        try:
            await self._app(scope, receive, answer)
        except BaseException as error:
            traces.fail(span, type(error).__name__)
            raise
        else:
            if answer.status >= FIRST_ERROR:
                traces.fail(span, str(answer.status))
        finally:
            detach(token)
            span.set_attribute("http.response.status_code", answer.status)
            if (template := route(scope)) is not None:
                span.update_name(f"{name} {template}")
                span.set_attribute("http.route", template)
            span.end()


def _parent(scope: Scope) -> SpanContext | None:
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    return traces.context(found[0].decode("latin-1").strip()) if len(found) == 1 else None


class TracedIntake(Intake):
    """Stores submissions together with where they were sent from."""

    async def submit(self, job: NewJob) -> None:
        """See Intake."""
        request = get_current_span()
        if not request.is_recording():  # what nobody would look at is not stored either
            await super().submit(job)
            return
        with _Sending(request, [job]) as jobs:
            await super().submit(jobs[0])

    async def submit_all(self, jobs: Sequence[NewJob]) -> None:
        """See Intake."""
        request = get_current_span()
        if not request.is_recording():
            await super().submit_all(jobs)
            return
        with _Sending(request, jobs) as sent:
            await super().submit_all(sent)

    async def submit_once(self, jobs: Sequence[NewJob], key: Key | None) -> Stored:
        """See Intake."""
        request = get_current_span()
        if not request.is_recording():
            return await super().submit_once(jobs, key)
        with _Sending(request, jobs) as sent:
            return await super().submit_once(sent, key)

    async def _flush(self) -> None:
        attach(Context())  # begun by one request, it serves all; the task ends with it, so nothing is to be detached
        await super()._flush()

    async def _store(self, jobs: Sequence[NewJob]) -> None:
        # A span in the trace of each submission and not one with links: a commit has many submissions, and who reads a trace
        # wants to see in it how long the commit took.
        parents = {job.trace for job in jobs if job.trace is not None}
        about = {"db.system.name": "postgresql", "db.operation.name": "INSERT", "db.collection.name": "jobs"}
        size = {"db.operation.batch.size": len(jobs)} if len(jobs) > 1 else {}
        spans = [traces.start("INSERT jobs", SpanKind.CLIENT, traces.context(parent), about | size) for parent in parents]
        try:
            await super()._store(jobs)
        except BaseException as error:
            for span in spans:
                traces.fail(span, type(error).__name__)
            raise
        finally:
            for span in spans:
                span.end()


class _Sending:
    """The span of sending jobs; gives the jobs that carry it."""

    def __init__(self, request: Span, jobs: Sequence[NewJob]) -> None:
        queues = {job.queue for job in jobs}
        name = f"send {jobs[0].queue}" if len(queues) == 1 else "send"
        about: dict[str, str | int] = {"messaging.system": "jobproc", "messaging.operation.name": "send", "messaging.operation.type": "send"}
        if len(queues) == 1:
            about["messaging.destination.name"] = jobs[0].queue
        if len(jobs) == 1:
            about |= {"messaging.message.id": str(jobs[0].id), "jobproc.operation": jobs[0].operation}
        else:
            about["messaging.batch.message_count"] = len(jobs)
        self._span = traces.start(name, SpanKind.PRODUCER, request.get_span_context(), about)
        trace = traces.traceparent(self._span.get_span_context())
        self._jobs = [replace(job, trace=trace) for job in jobs]

    def __enter__(self) -> list[NewJob]:
        return self._jobs

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if error is not None:
            traces.fail(self._span, type(error).__name__)
        self._span.end()
