"""The span of a request: what it says, and what it does not."""

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


def ask(kept: InMemorySpanExporter, *headers: tuple[bytes, bytes], status: int = 200, error: Exception | None = None, **facts: Any) -> list[ReadableSpan]:
    """Ask an app that answers so, and return the spans."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert baggage.get_all() == {}
        scope["route"] = facts.get("route")
        if error is not None:
            raise error
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def nothing(*_: Any) -> Any:
        return None

    scope = {"type": "http", "method": "GET", "path": "/secret", "query_string": b"secret=1", "scheme": "http", "headers": list(headers), **facts}
    with suppress(ValueError):
        asyncio.run(TracingMiddleware(app)(scope, nothing, nothing))
    assert not get_current_span().get_span_context().is_valid
    return list(kept.get_finished_spans())


def test_a_request_without_a_route_has_the_name_of_its_method_and_no_path(kept: InMemorySpanExporter) -> None:
    (span,) = ask(kept, status=404)
    assert span.name == "GET"
    assert span.attributes == {"http.request.method": "GET", "url.scheme": "http", "http.response.status_code": 404}
    assert span.status.is_unset


def test_a_method_that_nobody_knows_is_not_repeated(kept: InMemorySpanExporter) -> None:
    (span,) = ask(kept, method="SECRET", route=SimpleNamespace(path="/jobs/{job_id}/"))
    assert (span.name, dict(span.attributes or {})["http.request.method"]) == ("HTTP /jobs/{job_id}", "_OTHER")


def test_an_answer_of_500_and_more_is_an_error_with_its_status(kept: InMemorySpanExporter) -> None:
    (span,) = ask(kept, status=503)
    assert (span.status.is_ok, dict(span.attributes or {})["error.type"]) == (False, "503")


def test_an_exception_is_an_error_with_its_type_and_not_its_text(kept: InMemorySpanExporter) -> None:
    (span,) = ask(kept, error=ValueError("secret"))
    assert dict(span.attributes or {})["error.type"] == "ValueError"
    assert dict(span.attributes or {})["http.response.status_code"] == 500
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("headers", [[HEADER, HEADER], [(b"traceparent", b"\xff")], [(b"tracestate", b"a=b")], []])
def test_without_one_valid_traceparent_a_trace_begins(kept: InMemorySpanExporter, headers: list[tuple[bytes, bytes]]) -> None:
    (span,) = ask(kept, *headers)
    assert span.parent is None


def test_of_what_a_caller_sends_only_the_traceparent_is_kept(kept: InMemorySpanExporter) -> None:
    (span,) = ask(kept, HEADER, (b"tracestate", b"v=secret"), (b"baggage", b"k=secret"))
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("path", ["/livez", "/readyz/"])
def test_probes_have_no_span(kept: InMemorySpanExporter, path: str) -> None:
    assert ask(kept, path=path) == []
