"""A receiver of webhooks, which the test tells how to answer."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """A request that has come."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        """The event in its body."""
        return dict(json.loads(self.body))


Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (204, {}, b"")


class WebhookReceiver:
    """An HTTP server on an address of this machine. `answer` is called for each request, in a thread of its own."""

    def __init__(self, tls: ssl.SSLContext | None = None, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[Received], Answer] = lambda _: OK
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                request = Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                receiver.received.append(request)
                status, headers, answer = receiver.answer(request)
                self.send_response(status)
                for name, value in {"content-length": str(len(answer)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # a client that has gone

        self._server = Server(address, Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str = "/", host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def events(self, event_type: str | None = None) -> list[dict[str, Any]]:
        """Return the events that have come."""
        found = [request.event for request in list(self.received)]
        return [event for event in found if event_type in (None, event["type"])]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
