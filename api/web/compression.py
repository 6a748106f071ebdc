"""gzip compression of GET and HEAD responses, and HEAD for every route that answers GET."""

import re
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WAITED_KEY = "jobproc.waited_s"  # key in a request's scope: seconds of the long poll that its client asked for
_ZERO_WEIGHT = re.compile(r"[qQ]=0(\.0*)?")
READ_METHODS = frozenset({"GET", "HEAD"})
GZIP_LEVEL = 1  # a page of 200 jobs in 0.2 ms to a seventh of its size; level 9 takes nine times as long for an eighth


class _HeadSent(OSError):
    """Raised to end a stream once the headers of a HEAD response are sent."""


class ReadMiddleware:
    """Middleware of every GET and HEAD request: compresses responses, and answers HEAD as a GET without its body."""

    def __init__(self, app: ASGIApp, compression_min_bytes: int) -> None:
        """Wrap an app; responses shorter than `compression_min_bytes` are not compressed, with 0 none is."""
        self._app = (
            GZipMiddleware(app, minimum_size=compression_min_bytes, compresslevel=GZIP_LEVEL)
            if compression_min_bytes
            else app
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a GET or HEAD request."""
        inner = _without_refused_gzip(scope)
        if scope["method"] == "GET":
            await self._app(inner, receive, send)
        else:
            inner = {**inner, "method": "GET"}
            await self._head(inner, receive, send)
        if inner is not scope:  # RequestMiddleware reads these for its metrics
            scope.update({name: inner[name] for name in ("route", WAITED_KEY) if name in inner})

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif message.get("more_body", False):
                raise _HeadSent
            else:
                await send({"type": "http.response.body"})

        try:
            await self._app(scope, receive, send_without_body)
        except (_HeadSent, ClientDisconnect):
            await send({"type": "http.response.body"})


def _without_refused_gzip(scope: Scope) -> MutableMapping[str, Any]:
    """Return the scope, without its Accept-Encoding if that refuses gzip: GZipMiddleware ignores weights."""
    accept_encoding = Headers(scope=scope).get("accept-encoding", "")
    if "gzip" not in accept_encoding or _accepts_gzip(accept_encoding):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]}


def _accepts_gzip(accept_encoding: str) -> bool:
    for coding in accept_encoding.split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() == "gzip":
            return _ZERO_WEIGHT.fullmatch(weight.strip()) is None
    return False
