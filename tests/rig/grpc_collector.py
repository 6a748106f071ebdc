"""`python grpc_collector.py FOLDER`: receive OTLP over gRPC and store each body as a file.

Runs in its own process, because a test that contains a gRPC server cannot fork.
"""

import itertools
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

folder = Path(sys.argv[1])
numbers = itertools.count()


def export(body: bytes, _context: Any) -> bytes:
    file = folder / f"{next(numbers):06d}"
    file.write_bytes(body)
    file.rename(file.with_suffix(".body"))
    return bytes(ExportTraceServiceResponse().SerializeToString())


server = grpc.server(ThreadPoolExecutor(2))
handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
server.add_generic_rpc_handlers(
    (grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", handlers),)
)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
(folder / "port.new").write_text(str(port))
(folder / "port.new").rename(folder / "port")
time.sleep(600)
