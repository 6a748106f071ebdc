"""Spans of a worker: claim, attempt and settle of each job whose submission was sampled.

Imported only while tracing is on.
"""

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
#: Failures whose text is this service's own.
OWN_TEXTS = frozenset({AttemptOutcome.TIMEOUT, AttemptOutcome.LOST, AttemptOutcome.RELEASED, AttemptOutcome.CANCELLED})
AttemptSpans = list[tuple[str, SpanContext]]  # each with its queue
SettledSpans = tuple[AttemptSpans, int, int]  # attempts that were settled; start and end of the settle, Unix ns


def configure(*, export_user_spans: bool) -> "Spans | None":
    """Start tracing in this process. Returns None if that is impossible or off.

    `export_user_spans`: True in a worker process, which runs operations; False in the parent.
    """
    try:
        traces.configure("worker", export_user_spans=export_user_spans)
    except StartupError as error:  # jobs run without traces
        log.warning("tracing_disabled", reason=str(error))
    return None if traces.tracer is None else Spans()


class Spans:
    """Spans of the jobs of one process that runs one job at a time."""

    def __init__(self) -> None:
        self._attempt: Span | None = None
        self._settled: list[SettledSpans] = []

    def record_claim(self, queue: str, jobs: Sequence[ClaimedJob], began_ns: int, metrics: SlotMetrics) -> None:
        """Record a claim span for each traced job, and its trace as an exemplar in `metrics`."""
        for job in jobs:
            if job.trace is not None and (parent := traces.context(job.trace, only_sampled=True)):
                attributes = _attributes(queue, "claim", "receive") | {
                    "messaging.message.id": job.id,
                    "db.system.name": "postgresql",
                    "db.operation.name": "claim",
                }
                if len(jobs) > 1:
                    attributes["messaging.batch.message_count"] = len(jobs)
                traces.start(f"claim {queue}", SpanKind.CLIENT, parent, attributes, began_ns).end()
                metrics.set_delay_exemplar(parent.trace_id, queue, job.waited_s)

    def start_attempt(self, job: ClaimedJob, queue: str) -> None:
        """Start the span of an attempt if the job is traced, as the current span of the operation's code."""
        if parent := traces.context(job.trace, only_sampled=True):
            self._attempt = _start_process_span(job, queue, parent, None)
            self._attempt.set_attribute("jobproc.wait_seconds", round(job.waited_s, 6))
            attach(set_span_in_context(self._attempt, Context()))

    def end_attempt(self, result: str | Failure) -> SpanContext | None:
        """End the span of the current attempt and return it for its settle; None if the job is not traced."""
        self._record_settled()
        attempt, self._attempt = self._attempt, None
        if attempt is None:
            return None
        if isinstance(result, Failure):
            _mark_failed(attempt, result)
        attempt.end()
        attach(Context())  # no detach: that would keep contexts that the operation attached and left
        return attempt.get_span_context()

    def record_settle(self, attempts: AttemptSpans, began_ns: int, *, in_handler: bool = False) -> None:
        """Record a settle span for each of these attempts, which were settled just now.

        `in_handler`: defer that until the current attempt ends. The code that the signal interrupted may hold the
        exporter's lock.
        """
        self._settled.append((attempts, began_ns, time.time_ns()))
        if not in_handler:
            self._record_settled()

    def _record_settled(self) -> None:
        while self._settled:
            attempts, began_ns, ended_ns = self._settled.pop(0)
            for queue, attempt in attempts:
                attributes = _attributes(queue, "settle", "settle") | {
                    "db.system.name": "postgresql",
                    "db.operation.name": "settle",
                }
                traces.start(f"settle {queue}", SpanKind.CLIENT, attempt, attributes, began_ns).end(ended_ns)


def record_lost(job: ClaimedJob, queue: str, failure: Failure, ran_s: float) -> None:
    """Record the span of an attempt in place of its process, which ended and lost it.

    `ran_s`: seconds that the attempt ran, 0 if unknown.
    """
    if parent := traces.context(job.trace, only_sampled=True):
        span = _start_process_span(job, queue, parent, time.time_ns() - round(ran_s * 1e9))
        _mark_failed(span, failure)
        span.end()


def _start_process_span(job: ClaimedJob, queue: str, parent: SpanContext, began_ns: int | None) -> Span:
    attributes = _attributes(queue, "process", "process") | {
        "messaging.message.id": job.id,
        "jobproc.operation": job.operation,
        "jobproc.attempt": job.attempt,
    }
    return traces.start(f"process {job.operation}", SpanKind.CONSUMER, parent, attributes, began_ns)


def _mark_failed(span: Span, failure: Failure) -> None:
    traces.fail(span, failure.error_type, failure.error_text if failure.outcome in OWN_TEXTS else None)


def _attributes(queue: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "messaging.system": "jobproc",
        "messaging.destination.name": queue,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }
