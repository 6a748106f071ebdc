"""The middleware around every request: browser guard, request id, metrics by route template, access log."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.limits.path_prefix import PathPrefix
from api.telemetry.metrics import RequestMetrics
from api.web import request_ids
from api.web.browser_guard import RESPONSE_HEADERS, BrowserGuard
from api.web.compression import READ_METHODS, WAITED_KEY, ReadMiddleware
from common.telemetry import logs, traces
from common.telemetry.metrics import OTHER

log = logs.get("api")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ResponseObserver:
    """Passes a response on and records its status."""

    def __init__(self, send: Send, request_id: bytes | None = None) -> None:
        """`request_id`: added to the response as X-Request-ID, with RESPONSE_HEADERS; None: nothing is added."""
        self._send = send
        self._request_id = request_id
        self.status = 500  #: stays 500 if the request ends without a response

    async def __call__(self, message: Message) -> None:
        """Pass a message of the response on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._request_id is not None:
                message["headers"] = [*message["headers"], *RESPONSE_HEADERS, (request_ids.HEADER, self._request_id)]
        await self._send(message)


def route_template(scope: Scope) -> str | None:
    """Return the template of the route that serves a request, without a trailing slash; None if no route matched."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return None if path is None else path.rstrip("/") or "/"


def join_lines(scope: Scope) -> dict[bytes, bytes]:
    """Join the lines of each field of a request to one, separated by commas (RFC 9110, 5.3); return the fields.

    A field that is no list then has an invalid value, so that no two readers take different ones of its lines.
    """
    joined: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        joined[name] = b"%b, %b" % (joined[name], value) if name in joined else value
    scope["headers"] = list(joined.items())
    return joined


class RequestMiddleware:
    """Guards, identifies, measures and logs each request. All in one layer: each layer slows every POST down."""

    def __init__(
        self,
        app: ASGIApp,
        requests: RequestMetrics,
        guard: BrowserGuard,
        prefix: PathPrefix,
        *,
        logs_each: bool,
        compression_min_bytes: int,
    ) -> None:
        """`logs_each`: log every request. `compression_min_bytes`: smaller responses are not compressed; 0: none is."""
        self._app = app
        self._read_app = ReadMiddleware(app, compression_min_bytes)
        self._logs_each = logs_each
        self._requests = requests
        self._guard = guard
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if len(headers) < len(scope["headers"]):
            headers = join_lines(scope)
        self._prefix.apply(scope, headers)
        response = ResponseObserver(send, request_ids.assign(headers))
        if (refusal := self._guard.refusal(scope["method"], headers)) is not None:
            app: ASGIApp = refusal.response()
        else:
            app = self._read_app if scope["method"] in READ_METHODS else self._app
        requests, began = self._requests, time.perf_counter()
        requests.in_progress += 1
        try:
            await app(scope, receive, response)
        finally:
            requests.in_progress -= 1
            method = scope["method"] if scope["method"] in METHODS else OTHER
            template = route_template(scope) or OTHER
            duration_s = time.perf_counter() - began - scope.get(WAITED_KEY, 0.0)
            requests.count(method, template, response.status, duration_s, traces.sampled_id())
            if self._logs_each:
                log.info(
                    "request",
                    method=method,
                    route=template,
                    status=response.status,
                    duration_ms=round(duration_s * 1000, 3),
                )
