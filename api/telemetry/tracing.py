"""The spans of requests. Imported only while tracing is on."""

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanContext, SpanKind, set_span_in_context
from starlette.types import ASGIApp, Receive, Scope, Send

from api.telemetry.middleware import METHODS, ResponseObserver, route_template
from common.telemetry import traces

PROBES = frozenset({"/livez", "/readyz"})  # not traced: polled every few seconds, by machines that check the response
SERVER_ERROR = 500


class TracingMiddleware:
    """Records a span for each request. It contains no path, query, header or body: those are the client's data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request within a span."""
        if scope["type"] != "http" or scope["path"].rstrip("/") in PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        name = "HTTP" if method == "_OTHER" else method
        span = traces.start(
            name, SpanKind.SERVER, _parent(scope), {"http.request.method": method, "url.scheme": scope["scheme"]}
        )
        response = ResponseObserver(send)
        token = attach(set_span_in_context(span, Context()))
        try:
            await self._app(scope, receive, response)
        except BaseException as error:
            traces.fail(span, type(error).__name__)
            raise
        else:
            if response.status >= SERVER_ERROR:
                traces.fail(span, str(response.status))
        finally:
            detach(token)
            span.set_attribute("http.response.status_code", response.status)
            if (template := route_template(scope)) is not None:
                span.update_name(f"{name} {template}")
                span.set_attribute("http.route", template)
            span.end()


def _parent(scope: Scope) -> SpanContext | None:
    """Return the context in the request's traceparent header; None unless there is exactly one valid header."""
    values = [value for name, value in scope["headers"] if name == b"traceparent"]
    return traces.context(values[0].decode("latin-1").strip()) if len(values) == 1 else None
