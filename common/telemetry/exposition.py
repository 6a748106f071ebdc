"""The HTTP server of a process's metrics: /metrics in the Prometheus or the OpenMetrics format, /livez and /readyz."""

import errno
import threading
from collections.abc import Callable, Iterable, Mapping
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from common.domain.errors import StartupError
from common.settings import Settings
from common.telemetry import logs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

log = logs.get("metrics")
MAX_PORT = 65_535
Probe = Callable[[], str | None]  # answers a probe: None if all is well, else the reason why not


class _RequestHandler(WSGIRequestHandler):
    timeout = 10  # slow-loris guard: seconds without a byte

    def log_message(self, *_parts: object) -> None:
        pass


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Exposition:
    """Serves the metrics. It takes its port when it is made, and answers from a thread once `start` is called."""

    def __init__(self, settings: Settings, registry: CollectorRegistry) -> None:
        """Bind the first free port of the settings, if they name one. Raises StartupError if all are taken."""
        self._metrics: WSGIApplication = make_wsgi_app(registry)
        self._probes: Mapping[str, Probe] = {}
        self._server: WSGIServer | None = None
        self._first_port = settings.metrics_port
        if settings.metrics_port:
            self._server = self._bind(settings.metrics_port, settings.metrics_port_tries)

    def start(self, probes: Mapping[str, Probe] | None = None) -> None:
        """Start to answer requests, in a thread. `probes`: by path, such as /livez; None: the process has others."""
        self._probes = probes or {}
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()
            log.info(
                "metrics_serving",
                port=self._server.server_port,
                first_port=self._first_port,
                paths=["/metrics", *self._probes],
            )

    def _bind(self, first: int, tries: int) -> WSGIServer:
        """Bind a port, or one of the next where it is taken: a machine may run several processes of one setting."""
        port, last = first, min(first + tries - 1, MAX_PORT)
        while True:
            try:
                return make_server("", port, self._respond, server_class=_Server, handler_class=_RequestHandler)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or port == last:
                    tried = f"{first}" if port == first else f"{first} to {port}"
                    raise StartupError(f"JOBPROC_METRICS_PORT {tried}: {error.strerror}") from error
            port += 1

    def _respond(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return self._metrics(environ, start_response)
        headers = [("Content-Type", "text/plain")]
        if path not in self._probes:
            start_response("404 Not Found", headers)
            return [b"/metrics is here\n"]
        reason = self._probes[path]()
        start_response("200 OK" if reason is None else "503 Service Unavailable", headers)
        return [f"{reason or 'ok'}\n".encode()]
