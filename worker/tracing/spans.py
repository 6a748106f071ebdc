"""The spans of a worker: of each job whose submission was sampled, its claim, its run and its settle. Imported only while tracing is on."""

import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context, attach
from opentelemetry.trace import Span, SpanContext, SpanKind, set_span_in_context

from common.domain.decisions import AttemptOutcome, Failure
from common.domain.errors import StartupError
from common.domain.job import ClaimedJob
from common.telemetry import logs, traces
from worker.shared_memory.metrics import SlotMetrics

log = logs.get("worker")
OWN_TEXTS = frozenset(
    {AttemptOutcome.TIMEOUT, AttemptOutcome.LOST, AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED}
)  # failures whose text is this service's own
AttemptSpans = list[tuple[str, SpanContext]]  # each with its queue
SettledSpans = tuple[AttemptSpans, int, int]  # runs whose end was stored, from when to when that took


def configure(*, of_user_code: bool) -> "Spans | None":
    """Begin to trace in a worker's parent, or in a process of it, which runs code of users; None when that cannot be."""
    try:
        traces.configure("worker", of_user_code=of_user_code)
    except StartupError as error:  # no job waits for its trace
        log.warning("tracing_off", reason=str(error))
    return None if traces.tracer is None else Spans()


class Spans:
    """The spans of the jobs of one process. One job runs at a time."""

    def __init__(self) -> None:
        self._attempt: Span | None = None
        self._settled: list[SettledSpans] = []

    def claimed(self, queue: str, jobs: Sequence[ClaimedJob], began_ns: int, metrics: SlotMetrics) -> None:
        """Record, for each job that is traced, the claim that took it, and let `meter` remember its trace."""
        for job in jobs:
            if job.trace is not None and (parent := traces.context(job.trace, only_sampled=True)):
                about = _attributes(queue, "claim", "receive") | {"messaging.message.id": job.id, "db.system.name": "postgresql", "db.operation.name": "claim"}
                if len(jobs) > 1:
                    about["messaging.batch.message_count"] = len(jobs)
                traces.start(f"claim {queue}", SpanKind.CLIENT, parent, about, began_ns).end()
                metrics.set_delay_exemplar(parent.trace_id, queue, job.waited_s)

    def begin(self, job: ClaimedJob, queue: str) -> None:
        """Start the span of a run, if the job is traced; the operation's code sees it as the current one."""
        if parent := traces.context(job.trace, only_sampled=True):
            self._attempt = _start_process_span(job, queue, parent, None)
            self._attempt.set_attribute("jobproc.wait_seconds", round(job.waited_s, 6))
            attach(set_span_in_context(self._attempt, Context()))

    def end(self, result: str | Failure) -> SpanContext | None:
        """End the span of the run under way; returns it for its settle. None when the job is not traced."""
        self._record_settled()
        run, self._attempt = self._attempt, None
        if run is None:
            return None
        if isinstance(result, Failure):
            _mark_failed(run, result)
        run.end()
        attach(Context())  # no detach: that would keep what the operation attached and left
        return run.get_span_context()

    def settled(self, runs: AttemptSpans, began_ns: int, *, in_handler: bool = False) -> None:
        """Record for each run that its end was stored, just now.

        `in_handler`: record it after this run. The exporter has a lock, which may be held by what the signal interrupted.
        """
        self._settled.append((runs, began_ns, time.time_ns()))
        if not in_handler:
            self._record_settled()

    def _record_settled(self) -> None:
        while self._settled:
            runs, began_ns, ended_ns = self._settled.pop(0)
            for queue, run in runs:
                about = _attributes(queue, "settle", "settle") | {"db.system.name": "postgresql", "db.operation.name": "settle"}
                traces.start(f"settle {queue}", SpanKind.CLIENT, run, about, began_ns).end(ended_ns)


def record_lost(job: ClaimedJob, queue: str, failure: Failure, ran_s: float) -> None:
    """Record, in a process that outlived it, the run that ended with its process: its own span died with it.

    `ran_s`: for how long it ran, 0 where nobody knows.
    """
    if parent := traces.context(job.trace, only_sampled=True):
        span = _start_process_span(job, queue, parent, time.time_ns() - round(ran_s * 1e9))
        _mark_failed(span, failure)
        span.end()


def _start_process_span(job: ClaimedJob, queue: str, parent: SpanContext, began_ns: int | None) -> Span:
    about = _attributes(queue, "process", "process") | {
        "messaging.message.id": job.id,
        "jobproc.operation": job.operation,
        "jobproc.attempt": job.attempt,
    }
    return traces.start(f"process {job.operation}", SpanKind.CONSUMER, parent, about, began_ns)


def _mark_failed(span: Span, failure: Failure) -> None:
    traces.fail(span, failure.error_type, failure.error_text if failure.outcome in OWN_TEXTS else None)


def _attributes(queue: str, name: str, kind: str) -> dict[str, Any]:
    return {"messaging.system": "jobproc", "messaging.destination.name": queue, "messaging.operation.name": name, "messaging.operation.type": kind}
