"""The middleware around every request: measures it by the template of its route, and names it."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.telemetry.metrics import RequestMetrics
from api.web import request_ids
from api.web.compression import READ_METHODS as READS
from api.web.compression import WAITED_KEY, ReadMiddleware
from common.telemetry import logs, traces
from common.telemetry.metrics import OTHER

log = logs.get("api")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ResponseObserver:
    """Sends on what a request is answered, and knows its status."""

    def __init__(self, send: Send, request_id: bytes | None = None) -> None:
        """`request_id`: told with the answer."""
        self._send = send
        self._request_id = request_id
        self.status = 500  #: of a request that ends without an answer

    async def __call__(self, message: Message) -> None:
        """Send it on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._request_id is not None:
                message["headers"] = [*message["headers"], (request_ids.HEADER, self._request_id)]
        await self._send(message)


def route_template(scope: Scope) -> str | None:
    """Return the template of the route that a request took, None when it took none. A slash at its end makes no difference."""
    path: str | None = getattr(scope.get("route"), "path", None)
    return None if path is None else path.rstrip("/") or "/"


class RequestMiddleware:
    """Measures each request, by the template of its route, and names it. One layer for all that every request passes: each costs a POST."""

    def __init__(self, app: ASGIApp, requests: RequestMetrics, *, logs_each: bool, compress_bytes: int) -> None:
        self._app = app
        self._read_app = ReadMiddleware(app, compress_bytes)
        self._logs_each = logs_each
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = ResponseObserver(send, request_ids.assign(scope))
        app = self._read_app if scope["method"] in READS else self._app
        requests, began = self._requests, time.perf_counter()
        requests.in_progress += 1
        try:
            await app(scope, receive, answer)
        finally:
            requests.in_progress -= 1
            method = scope["method"] if scope["method"] in METHODS else OTHER
            template = route_template(scope) or OTHER
            took = time.perf_counter() - began - scope.get(WAITED_KEY, 0.0)
            requests.count(method, template, answer.status, took, traces.sampled_id())
            if self._logs_each:
                log.info("request", method=method, route=template, status=answer.status, duration_ms=round(took * 1000, 3))
