"""The span of a request: its attributes, and the client's data that it must not contain."""

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from api.telemetry.tracing import TracingMiddleware

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = b"traceparent", f"00-{TRACE}-{SPAN}-01".encode()


def spans_of_request(
    exported_spans: InMemorySpanExporter,
    *headers: tuple[bytes, bytes],
    status: int = 200,
    error: Exception | None = None,
    **scope_members: Any,
) -> list[ReadableSpan]:
    """Send a request to an app that responds with `status` or raises `error`; return the exported spans."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert baggage.get_all() == {}
        scope["route"] = scope_members.get("route")
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def ignore(*_: Any) -> Any:
        return None

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/secret",
        "query_string": b"secret=1",
        "scheme": "http",
        "headers": list(headers),
        **scope_members,
    }
    with suppress(ValueError):
        asyncio.run(TracingMiddleware(app)(scope, ignore, ignore))
    assert not get_current_span().get_span_context().is_valid
    return list(exported_spans.get_finished_spans())


def test_the_span_of_a_request_without_a_route_has_its_method_and_no_path(exported_spans: InMemorySpanExporter) -> None:
    (span,) = spans_of_request(exported_spans, status=404)
    assert span.name == "GET"
    assert span.attributes == {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": 404}
    assert span.status.is_unset


def test_the_span_does_not_contain_an_unknown_method(exported_spans: InMemorySpanExporter) -> None:
    (span,) = spans_of_request(exported_spans, method="SECRET", route=SimpleNamespace(path="/jobs/{job_id}/"))
    assert (span.name, dict(span.attributes or {})["http.request.method"]) == ("HTTP /jobs/{job_id}", "_OTHER")


def test_a_response_of_500_or_more_is_an_error_with_its_status(exported_spans: InMemorySpanExporter) -> None:
    (span,) = spans_of_request(exported_spans, status=503)
    assert (span.status.is_ok, dict(span.attributes or {})["error.type"]) == (False, "503")


def test_an_exception_is_an_error_with_its_type_but_not_its_text(exported_spans: InMemorySpanExporter) -> None:
    (span,) = spans_of_request(exported_spans, error=ValueError("secret"))
    assert dict(span.attributes or {})["error.type"] == "ValueError"
    assert dict(span.attributes or {})["http.response.status_code"] == 500
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("headers", [[HEADER, HEADER], [(b"traceparent", b"\xff")], [(b"tracestate", b"a=b")], []])
def test_a_request_without_exactly_one_valid_traceparent_starts_a_trace(
    exported_spans: InMemorySpanExporter, headers: list[tuple[bytes, bytes]]
) -> None:
    (span,) = spans_of_request(exported_spans, *headers)
    assert span.parent is None


def test_the_span_takes_over_only_the_traceparent_of_the_caller(exported_spans: InMemorySpanExporter) -> None:
    (span,) = spans_of_request(exported_spans, HEADER, (b"tracestate", b"v=secret"), (b"baggage", b"k=secret"))
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("path", ["/livez", "/readyz/"])
def test_probes_have_no_span(exported_spans: InMemorySpanExporter, path: str) -> None:
    assert spans_of_request(exported_spans, path=path) == []
