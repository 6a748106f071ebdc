"""GET and HEAD: compressed for who takes that, and HEAD answered wherever GET is. Other methods do not come this way."""

import re
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WAITED_KEY = "jobproc.waited_s"  # in the scope of a request: how long its client waited for a job, as it asked to
_REFUSED = re.compile(r"[qQ]=0(\.0*)?")
READ_METHODS = frozenset({"GET", "HEAD"})
GZIP_LEVEL = 1  # a page of 200 jobs in 0.2 ms to a seventh of its size; level 9 takes nine times as long for an eighth


class _HeadSent(OSError):
    """A stream need not go on."""


class ReadMiddleware:
    """What goes around every GET and HEAD."""

    def __init__(self, app: ASGIApp, compress_bytes: int) -> None:
        """`compress_bytes`: an answer of fewer is sent as it is; 0: every one."""
        self._app = GZipMiddleware(app, minimum_size=compress_bytes, compresslevel=GZIP_LEVEL) if compress_bytes else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        inner = _without_refused_gzip(scope)
        if scope["method"] == "GET":
            await self._app(inner, receive, send)
        else:
            inner = {**inner, "method": "GET"}
            await self._head(inner, receive, send)
        if inner is not scope:  # read by who measures
            scope.update({name: inner[name] for name in ("route", WAITED_KEY) if name in inner})

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
            elif message.get("more_body", False):
                raise _HeadSent
            else:
                await send({"type": "http.response.body"})

        try:
            await self._app(scope, receive, without_body)
        except (_HeadSent, ClientDisconnect):
            await send({"type": "http.response.body"})


def _without_refused_gzip(scope: Scope) -> MutableMapping[str, Any]:
    """Return the scope as it is, or without an Accept-Encoding that names gzip only to refuse it: that is not looked at further in."""
    accepted = Headers(scope=scope).get("accept-encoding", "")
    if "gzip" not in accepted or _takes_gzip(accepted):
        return scope
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]}


def _takes_gzip(accepted: str) -> bool:
    for coding in accepted.split(","):
        name, _, weight = coding.partition(";")
        if name.strip().lower() == "gzip":
            return _REFUSED.fullmatch(weight.strip()) is None
    return False
