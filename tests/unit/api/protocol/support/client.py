"""A connection under the control of a test: which segments arrive, and when the app answers."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from api.protocol.connection import HttpConnection
from api.protocol.irregularities import Irregularities
from api.protocol.limits import ProtocolLimits
from common.telemetry import metrics, refusal_reasons

LIMITS = ProtocolLimits(
    head_bytes=1_024, head_fields=10, target_bytes=100, pipelined_requests=3, discard_seconds=60, discard_bytes=5_000
)
GET = b"GET /%d HTTP/1.1\r\n\r\n"
CHUNKED = b"POST /0 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport(asyncio.Transport):
    """The other end of the connection, under the control of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.reads = True
        self.ended = self.aborted = False
        self.closing = asyncio.Event()

    def write(self, data: Any) -> None:
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing.set()

    def abort(self) -> None:
        self.aborted = True
        self.closing.set()

    def is_closing(self) -> bool:
        return self.closed

    @property
    def closed(self) -> bool:
        return self.closing.is_set()

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def get_extra_info(self, _name: str, default: Any = None) -> Any:
        return default


class Client:
    """A connection with an app that answers a request when the test says so, with the path and the size of its body."""

    def __init__(self, limits: ProtocolLimits) -> None:
        self.transport = Transport()
        self.requests: list[dict[str, Any]] = []
        self.disconnected: list[str] = []
        self.registry = CollectorRegistry()
        self._gates: dict[str, asyncio.Event] = {}
        config = uvicorn.Config(self._app, interface="asgi3", ws="none", lifespan="off", log_config=None)
        counter = metrics.IRREGULAR_REQUESTS.counter(self.registry, *refusal_reasons.IRREGULARITIES)
        self.connection = HttpConnection(
            config, ServerState(), {}, protocol_limits=limits, irregularities=Irregularities(counter)
        )
        self.connection.connection_made(self.transport)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.requests.append(scope)
        body, message = b"", {"more_body": True}
        if not scope["path"].startswith("/early"):
            while message.get("more_body"):
                message = await receive()
                body += message.get("body", b"")
        if message.get("more_body") is False or scope["path"].startswith("/early"):
            await self._gates.setdefault(scope["path"], asyncio.Event()).wait()
        else:
            self.disconnected.append(scope["path"])
        text = b"%s %d;" % (scope["path"].encode(), len(body))
        headers = [(b"content-length", b"%d" % len(text))]
        if scope["path"] == "/early-close":
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})

    async def receive(self, *segments: bytes) -> None:
        """Let segments arrive, one in each cycle of the loop."""
        for segment in segments:
            self.connection.data_received(segment)
            await settled()

    async def answer(self, *paths: str) -> None:
        """Let the app answer the requests for these paths."""
        for path in paths:
            self._gates.setdefault(path, asyncio.Event()).set()
            await settled()

    @property
    def answers(self) -> list[str]:
        """The status, path and body size of each answer."""
        statuses = re.findall(rb"HTTP/1.1 (\d+)", self.transport.written)
        texts = iter(re.findall(rb"(/\S+ \d+);", self.transport.written))
        return [next(texts).decode() if status == b"200" else status.decode() for status in statuses]

    def count(self, reason: str) -> float | None:
        return self.registry.get_sample_value(metrics.IRREGULAR_REQUESTS.name, {"reason": reason})


async def settled() -> None:
    """Wait until each task that can run has run: none of them waits for a clock or a socket."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[Client], Awaitable[None]], limits: ProtocolLimits = LIMITS) -> Client:
    """Run a test in a loop; return its client."""

    async def with_client() -> Client:
        client = Client(limits)
        await test(client)
        client.connection.connection_lost(None)
        await settled()
        return client

    return asyncio.run(with_client())


def pieces(raw: bytes, size: int) -> list[bytes]:
    return [raw[start : start + size] for start in range(0, len(raw), size)]
