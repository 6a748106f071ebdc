"""Traces: spans by opentelemetry-sdk, sent by OTLP. Off without an endpoint: `tracer` is None then and nothing of opentelemetry is imported.

Everything is set by the standard OTEL_* variables. Of what comes from outside only the W3C traceparent is read, no baggage and no tracestate.
"""

import os
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.domain.errors import StartupError

if TYPE_CHECKING:  # 8 MiB a process, 15 with grpc, are not spent while tracing is off
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer

CLOSE_S = 2.0  # longest that the end of a process waits for its last spans to be sent; well inside every grace
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HTTP, GRPC = "http/protobuf", "grpc"
SAMPLED = 1  # the bit of a traceparent's flags
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)

tracer: "Tracer | None" = None  #: None: tracing is off in this process
_provider: "TracerProvider | None" = None


def enabled() -> bool:
    """Return whether the environment asks for traces. Raises StartupError for values that this service has no exporter for."""
    env = {name: value.strip() for name, value in os.environ.items() if name.startswith("OTEL_")}
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(env.get(name) for name in ENDPOINT_VARIABLES):
        return False
    exporter = env.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter == "none":
        return False
    if exporter != "otlp":
        raise StartupError(f"OTEL_TRACES_EXPORTER={exporter}: otlp or none is expected")
    if (protocol := _protocol()) not in {HTTP, GRPC}:
        raise StartupError(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol}: {HTTP} or {GRPC} is expected")
    return True


def _protocol() -> str:
    return os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "").strip() or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip() or HTTP


def load() -> "type[SpanExporter]":
    """Import what tracing needs and return the exporter's class. A worker's parent does so once, and its processes share the pages."""
    import opentelemetry.sdk.trace.export  # noqa: F401 - for the pages

    if _protocol() == GRPC:
        # A process that is forked after its parent has sent by grpc needs grpc's own handlers; read as grpc is imported.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http


def configure(process: str, *, of_user_code: bool = False) -> None:
    """Begin to trace in this process, where the environment asks for it. After a fork: once more, in the new process.

    `of_user_code`: spans that operations make by opentelemetry's own interface go the same way. Raises StartupError.
    """
    global tracer, _provider  # noqa: PLW0603 - one process has one tracer; None is the quickest way to say that it is off
    if not enabled():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Ids(IdGenerator):
        """Ids from the system: an operation that seeds `random` would give two runs the same ones."""

        def generate_trace_id(self) -> int:
            """Return one of 128 bits, not 0."""
            return secrets.randbits(128) or 1

        def generate_span_id(self) -> int:
            """Return one of 64 bits, not 0."""
            return secrets.randbits(64) or 1

    ours = Resource.create({"service.name": f"jobproc-{process}", "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"})
    try:
        processor = BatchSpanProcessor(load()())
    except Exception as error:  # what a library raises of a variable that it cannot read
        raise StartupError(f"traces cannot be sent with these OTEL_* variables: {type(error).__name__}: {error}") from error
    _provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), id_generator=Ids(), shutdown_on_exit=False)
    _provider.add_span_processor(processor)
    tracer = _provider.get_tracer("jobproc")
    if of_user_code:
        trace.set_tracer_provider(_provider)


def close() -> None:
    """Send what is left, for CLOSE_S seconds at most, and end tracing in this process."""
    global tracer, _provider
    provider, _provider, tracer = _provider, None, None
    if provider is not None:
        # In a thread: the SDK's own limits are for each try to send, not for all of them.
        last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(CLOSE_S)


def context(traceparent: str | None, *, only_sampled: bool = False) -> "SpanContext | None":
    """Return the span that a W3C traceparent names, None where it is not valid; `only_sampled`: nor when it is not sampled."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    if only_sampled and not int(flags, 16) & SAMPLED:
        return None
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & SAMPLED))


def traceparent(of: "SpanContext") -> str:
    """Return the W3C traceparent of a span, to be stored."""
    return f"00-{of.trace_id:032x}-{of.span_id:016x}-{of.trace_flags & SAMPLED:02x}"


def sampled_id() -> str | None:
    """Return the id of the trace that the current code belongs to; None when it is not sampled, or tracing is off."""
    if tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    of = get_current_span().get_span_context()
    return f"{of.trace_id:032x}" if of.trace_flags & SAMPLED else None


def start(name: str, kind: "SpanKind", parent: "SpanContext | None", attributes: Mapping[str, Any], began_ns: int | None = None) -> "Span":
    """Start a span below another one, None: of a trace of its own. `began_ns` is Unix time, None: now."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    assert tracer is not None  # noqa: S101 - who calls has asked
    above = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    return tracer.start_span(name, above, kind, attributes, start_time=began_ns)


def fail(span: "Span", error_type: str, text: str | None = None) -> None:
    """Mark a span as failed. `text` is our own, never what an operation said: that may quote its input."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, text))
    span.add_event("exception", {"exception.type": error_type, **({} if text is None else {"exception.message": text})})


def log_ids(_logger: Any, _method: str, event: Any) -> Any:
    """Add the current span to a log line; a processor of structlog."""
    from opentelemetry.trace import get_current_span

    of = get_current_span().get_span_context()
    if of.is_valid:
        event["trace_id"], event["span_id"] = f"{of.trace_id:032x}", f"{of.span_id:016x}"
    return event
