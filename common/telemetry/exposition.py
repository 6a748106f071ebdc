"""The HTTP server of a process's metrics: /metrics in the Prometheus or the OpenMetrics format, /livez and /readyz."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from common.domain.errors import StartupError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _RequestHandler(WSGIRequestHandler):
    timeout = 10  # slow-loris guard: seconds without a byte

    def log_message(self, *_parts: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Exposition:
    """Serves the metrics. It takes its port when it is made, and answers from a thread once `start` is called."""

    def __init__(self, port: int, registry: CollectorRegistry, healthy: Callable[[], bool] | None = None) -> None:
        """Bind the port; 0: none. Raises StartupError if the port is taken.

        `healthy` decides about /livez and /readyz. None: the process has other probes and does not serve these.
        """
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._healthy = healthy
        self._server: WSGIServer | None = None
        if port:
            try:
                self._server = make_server("", port, self._respond, server_class=_Server, handler_class=_RequestHandler)
            except OSError as error:
                raise StartupError(f"JOBPROC_METRICS_PORT {port}: {error.strerror}") from error

    def start(self) -> None:
        """Start to answer requests, in a thread."""
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def _respond(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        headers = [("Content-Type", "text/plain")]
        if path not in ("/livez", "/readyz") or self._healthy is None:
            start_response("404 Not Found", headers)
            return [b"/metrics is here\n"]
        ok = self._healthy()
        start_response("200 OK" if ok else "503 Service Unavailable", headers)
        return [b"ok\n" if ok else b"no tick for too long\n"]
