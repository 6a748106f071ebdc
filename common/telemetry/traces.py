"""Traces: spans by opentelemetry-sdk, exported by OTLP, configured by the standard OTEL_* variables.

Without an endpoint tracing is off: `tracer` is None and nothing of opentelemetry is imported. Of a request's headers
only the W3C traceparent is read, no baggage and no tracestate.
"""

import os
import re
import secrets
import socket
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common.domain.errors import StartupError

if TYPE_CHECKING:  # while tracing is off, its 8 MiB a process (15 with grpc) are saved
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, SpanContext, SpanKind, Tracer

CLOSE_S = 2.0  # longest time for the export of the last spans at the end of a process; well within every grace
ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
HTTP, GRPC = "http/protobuf", "grpc"
SAMPLED = 1  # the bit of a traceparent's flags
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)

tracer: "Tracer | None" = None  #: None: tracing is off in this process
_provider: "TracerProvider | None" = None


def enabled() -> bool:
    """Return True if the environment asks for traces. Raises StartupError if it asks for an unsupported exporter."""
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
    return (
        os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "").strip()
        or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "").strip()
        or HTTP
    )


def load() -> "type[SpanExporter]":
    """Import the modules of tracing and return the exporter's class.

    A worker's parent calls it before it forks, so that its processes share the memory pages.
    """
    import opentelemetry.sdk.trace.export  # noqa: F401 - imported for the shared pages

    if _protocol() == GRPC:
        # Read at the import of grpc: its fork handlers, for a process forked after its parent has sent by grpc.
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "1")
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http


def configure(process: str, *, export_user_spans: bool = False) -> None:
    """Start tracing in this process if the environment asks for it. A forked process calls it again.

    `export_user_spans`: also export the spans that operations make with the OpenTelemetry API. Raises StartupError.
    """
    global tracer, _provider  # noqa: PLW0603 - one process has one tracer; testing it for None is the quickest switch
    if not enabled():
        return
    from opentelemetry import trace
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class Ids(IdGenerator):
        """Ids from the system's randomness: if an operation seeds `random`, two attempts would get the same ids."""

        def generate_trace_id(self) -> int:
            """Return a random id of 128 bits, not 0."""
            return secrets.randbits(128) or 1

        def generate_span_id(self) -> int:
            """Return a random id of 64 bits, not 0."""
            return secrets.randbits(64) or 1

    resource = Resource.create(
        {"service.name": f"jobproc-{process}", "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    )
    try:
        processor = BatchSpanProcessor(load()())
    except Exception as error:  # any error that a library raises for a variable that it cannot parse
        raise StartupError(
            f"traces cannot be sent with these OTEL_* variables: {type(error).__name__}: {error}"
        ) from error
    _provider = TracerProvider(
        resource=resource.merge(OTELResourceDetector().detect()), id_generator=Ids(), shutdown_on_exit=False
    )
    _provider.add_span_processor(processor)
    tracer = _provider.get_tracer("jobproc")
    if export_user_spans:
        trace.set_tracer_provider(_provider)


def close() -> None:
    """Export the remaining spans, within CLOSE_S seconds, and stop tracing in this process."""
    global tracer, _provider
    provider, _provider, tracer = _provider, None, None
    if provider is not None:
        # In a thread, because the SDK's limits are for each attempt to export, not for all of them.
        shutdown = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        shutdown.start()
        shutdown.join(CLOSE_S)


def context(traceparent: str | None, *, only_sampled: bool = False) -> "SpanContext | None":
    """Return the span of a W3C traceparent; None if it is invalid or, with `only_sampled`, not sampled."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    if only_sampled and not int(flags, 16) & SAMPLED:
        return None
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16) & SAMPLED)
    )


def traceparent(span: "SpanContext") -> str:
    """Return the W3C traceparent of a span, to be stored."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags & SAMPLED:02x}"


def sampled_id() -> str | None:
    """Return the id of the current trace; None if it is not sampled or tracing is off."""
    if tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    span = get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.trace_flags & SAMPLED else None


def start(
    name: str,
    kind: "SpanKind",
    parent: "SpanContext | None",
    attributes: Mapping[str, Any],
    began_ns: int | None = None,
) -> "Span":
    """Start a span. `parent` None: the span begins a trace. `began_ns`: Unix time in nanoseconds; None: now."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, set_span_in_context

    assert tracer is not None  # noqa: S101 - callers check that first
    context_ = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    return tracer.start_span(name, context_, kind, attributes, start_time=began_ns)


def fail(span: "Span", error_type: str, text: str | None = None) -> None:
    """Mark a span as failed. `text` is one of jobproc's own, never an operation's: that may quote its input."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, text))
    span.add_event("exception", {"exception.type": error_type, **({} if text is None else {"exception.message": text})})


def log_ids(_logger: Any, _method: str, event: Any) -> Any:
    """Add the ids of the current span to a log line; a processor of structlog."""
    from opentelemetry.trace import get_current_span

    span = get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"], event["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
    return event
