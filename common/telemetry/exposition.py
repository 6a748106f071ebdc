"""The little HTTP server of a process's metrics: /metrics in the Prometheus or the OpenMetrics format, /livez, /readyz."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from common.domain.errors import StartupError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class _Quiet(WSGIRequestHandler):
    timeout = 10  # seconds without a byte, so that no connection is held for ever

    def log_message(self, *_parts: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Exposition:
    """Listens from the start; answers, from a thread, once it is told to."""

    def __init__(self, port: int, registry: CollectorRegistry, healthy: Callable[[], bool] | None = None) -> None:
        """Take the port; none where it is 0. Raises StartupError for one that is taken.

        `healthy` None: the process has other probes, and /livez and /readyz are not there.
        """
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._healthy = healthy
        self._server: WSGIServer | None = None
        if port:
            try:
                self._server = make_server("", port, self._answer, server_class=_Server, handler_class=_Quiet)
            except OSError as error:
                raise StartupError(f"JOBPROC_METRICS_PORT {port}: {error.strerror}") from error

    def start(self) -> None:
        """Begin to answer."""
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def _answer(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        plain = [("Content-Type", "text/plain")]
        if path not in ("/livez", "/readyz") or self._healthy is None:
            start_response("404 Not Found", plain)
            return [b"/metrics is here\n"]
        ok = self._healthy()
        start_response("200 OK" if ok else "503 Service Unavailable", plain)
        return [b"ok\n" if ok else b"no tick for too long\n"]
