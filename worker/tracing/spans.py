"""The spans of a worker: of each job whose submission was sampled, its claim, its run and its settle. Imported only while tracing is on."""

import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.context import Context, attach
from opentelemetry.trace import Span, SpanContext, SpanKind, set_span_in_context

from common.domain.decisions import Ended, Failure
from common.domain.errors import StartupError
from common.domain.job import Claimed
from common.telemetry import logs, traces
from worker.shared_memory.metrics import Meter

log = logs.get("worker")
OURS = frozenset({Ended.TIMEOUT, Ended.LOST, Ended.RELEASED, Ended.CANCELLED})  # failures whose text is this service's own
Runs = list[tuple[str, SpanContext]]  # each with its queue
Stored = tuple[Runs, int, int]  # runs whose end was stored, from when to when that took


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
        self._run: Span | None = None
        self._stored: list[Stored] = []

    def claimed(self, queue: str, jobs: Sequence[Claimed], began_ns: int, meter: Meter) -> None:
        """Record, for each job that is traced, the claim that took it, and let `meter` remember its trace."""
        for job in jobs:
            if job.trace is not None and (parent := traces.context(job.trace, only_sampled=True)):
                about = _about(queue, "claim", "receive") | {"messaging.message.id": job.id, "db.system.name": "postgresql", "db.operation.name": "claim"}
                if len(jobs) > 1:
                    about["messaging.batch.message_count"] = len(jobs)
                traces.start(f"claim {queue}", SpanKind.CLIENT, parent, about, began_ns).end()
                meter.claimed_in(parent.trace_id, queue, job.waited_s)

    def begin(self, job: Claimed, queue: str) -> None:
        """Start the span of a run, if the job is traced; the operation's code sees it as the current one."""
        if parent := traces.context(job.trace, only_sampled=True):
            self._run = _process(job, queue, parent, None)
            self._run.set_attribute("jobproc.wait_seconds", round(job.waited_s, 6))
            attach(set_span_in_context(self._run, Context()))

    def end(self, came: str | Failure) -> SpanContext | None:
        """End the span of the run under way; returns it for its settle. None when the job is not traced."""
        self._record_stored()
        run, self._run = self._run, None
        if run is None:
            return None
        if isinstance(came, Failure):
            _failed(run, came)
        run.end()
        attach(Context())  # no detach: that would keep what the operation attached and left
        return run.get_span_context()

    def settled(self, runs: Runs, began_ns: int, *, in_handler: bool = False) -> None:
        """Record for each run that its end was stored, just now.

        `in_handler`: record it after this run. The exporter has a lock, which may be held by what the signal interrupted.
        """
        self._stored.append((runs, began_ns, time.time_ns()))
        if not in_handler:
            self._record_stored()

    def _record_stored(self) -> None:
        while self._stored:
            runs, began_ns, ended_ns = self._stored.pop(0)
            for queue, run in runs:
                about = _about(queue, "settle", "settle") | {"db.system.name": "postgresql", "db.operation.name": "settle"}
                traces.start(f"settle {queue}", SpanKind.CLIENT, run, about, began_ns).end(ended_ns)


def died(job: Claimed, queue: str, failure: Failure, ran_s: float) -> None:
    """Record, in a process that outlived it, the run that ended with its process: its own span died with it.

    `ran_s`: for how long it ran, 0 where nobody knows.
    """
    if parent := traces.context(job.trace, only_sampled=True):
        span = _process(job, queue, parent, time.time_ns() - round(ran_s * 1e9))
        _failed(span, failure)
        span.end()


def _process(job: Claimed, queue: str, parent: SpanContext, began_ns: int | None) -> Span:
    about = _about(queue, "process", "process") | {
        "messaging.message.id": job.id,
        "jobproc.operation": job.operation,
        "jobproc.attempt": job.attempt,
    }
    return traces.start(f"process {job.operation}", SpanKind.CONSUMER, parent, about, began_ns)


def _failed(span: Span, failure: Failure) -> None:
    traces.fail(span, failure.error_type, failure.error_text if failure.ended in OURS else None)


def _about(queue: str, name: str, kind: str) -> dict[str, Any]:
    return {"messaging.system": "jobproc", "messaging.destination.name": queue, "messaging.operation.name": name, "messaging.operation.type": kind}
