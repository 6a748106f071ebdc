"""A trace collector: receives OTLP over HTTP or gRPC and stores every span. Needs no root.

The HTTP collector runs in threads of the test, the gRPC collector in its own process.
"""

import gzip
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rig.system import until
from tools.servers import spawn, stop, wait_for


@dataclass(frozen=True)
class Seen:
    """A received span."""

    service: str
    name: str
    kind: int
    trace: str
    id: str
    parent: str
    failed: bool
    attributes: dict[str, Any]
    events: list[dict[str, Any]]
    began_ns: int
    ended_ns: int


class Collector:
    """Stores the request bodies that it receives."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def spans(self) -> list[Seen]:
        """Return the received spans, ordered by their start."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        spans = []
        for body in list(self.bodies):
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                spans += [_seen(service, span) for scope in resource.scope_spans for span in scope.spans]
        return sorted(spans, key=lambda span: span.began_ns)

    def wait(self, description: str, enough: Callable[[list[Seen]], bool]) -> list[Seen]:
        """Wait until `enough` accepts the received spans, and return them."""
        return list(until(description, lambda: spans if enough(spans := self.spans()) else None))


class HttpCollector(Collector):
    """Receives OTLP over HTTP on a free port."""

    def __init__(self) -> None:
        super().__init__()
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.add(self.path)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.bodies.append(
                    gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                )
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="collector", daemon=True
        )
        self._thread.start()
        self.settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class GrpcCollector(Collector):
    """Receives OTLP over gRPC, in its own process."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._process = spawn(
            [sys.executable, str(Path(__file__).with_name("grpc_collector.py")), str(folder)],
            folder / "log",
            dict(os.environ),
        )
        wait_for("the collector", (folder / "port").exists, self._process)
        self.settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{(folder / 'port').read_text()}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }

    def spans(self) -> list[Seen]:
        """Return the received spans, ordered by their start."""
        self.bodies = [file.read_bytes() for file in self._folder.glob("*.body")]
        return super().spans()

    def close(self) -> None:
        """Stop the process."""
        stop(self._process)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


def _seen(service: str, span: Any) -> Seen:
    return Seen(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.status.code == 2,
        _attributes(span.attributes),
        [{"name": event.name, **_attributes(event.attributes)} for event in span.events],
        span.start_time_unix_nano,
        span.end_time_unix_nano,
    )
