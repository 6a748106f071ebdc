"""Unit tests open no network connection and read only their own settings."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from common import failpoints
from common.telemetry import traces

if TYPE_CHECKING:  # most tests trace nothing and need no import
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every connection fail, except AF_UNIX connections between processes of this machine."""
    for name in ("connect", "connect_ex"):
        real = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any, real: Any = real) -> Any:
            if self.family != socket.AF_UNIX:
                raise AssertionError(f"a unit test connects to {address!r}")
            return real(self, address)

        monkeypatch.setattr(socket.socket, name, connect)


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Clear all settings of the environment, and work in an empty folder. Failpoints are reset after the test."""
    for name in os.environ:
        if name.startswith(("JOBPROC_", "DATABASE_URL", "REDIS_URL", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield monkeypatch
    failpoints.arm("")


@pytest.fixture
def exported_spans(monkeypatch: pytest.MonkeyPatch) -> Iterator["InMemorySpanExporter"]:
    """Trace in this process; return the exporter that stores the ended spans."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(traces, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()
