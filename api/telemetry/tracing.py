"""The spans of requests. Imported only while tracing is on."""

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanContext, SpanKind, set_span_in_context
from starlette.types import ASGIApp, Receive, Scope, Send

from api.telemetry.middleware import METHODS, ResponseObserver, route_template
from common.telemetry import traces

PROBES = frozenset({"/livez", "/readyz"})  # asked every few seconds by machines that look at the answer themselves
SERVER_ERROR = 500


class TracingMiddleware:
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
        answer = ResponseObserver(send)
        token = attach(set_span_in_context(span, Context()))
        try:
            await self._app(scope, receive, answer)
        except BaseException as error:
            traces.fail(span, type(error).__name__)
            raise
        else:
            if answer.status >= SERVER_ERROR:
                traces.fail(span, str(answer.status))
        finally:
            detach(token)
            span.set_attribute("http.response.status_code", answer.status)
            if (template := route_template(scope)) is not None:
                span.update_name(f"{name} {template}")
                span.set_attribute("http.route", template)
            span.end()


def _parent(scope: Scope) -> SpanContext | None:
    found = [value for name, value in scope["headers"] if name == b"traceparent"]
    return traces.context(found[0].decode("latin-1").strip()) if len(found) == 1 else None
